"""Seeing what a network does: its gradients by name, and its signals in training.

All of it is made of what every user has: networks, and what they give.
"""
