"""Benchmarks: capsjax beside hand-written JAX, Equinox and Flax NNX.

`python -m bench` measures training steps, `python -m bench.imports` the import time.
README.md in this folder says what each figure means.
"""
