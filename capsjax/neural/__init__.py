"""Section 2 of the paper: neural networks as 4-tuples, their rules and their graphs."""

from capsjax.neural.network import NeuralNetwork as NeuralNetwork
from capsjax.neural.network import network as network
