"""Section 2 of the paper: neural networks as 4-tuples, their rules and their graphs."""

from capsjax.neural.enumeration import enumerate_growth as enumerate_growth
from capsjax.neural.network import NeuralNetwork as NeuralNetwork
from capsjax.neural.network import network as network
from capsjax.neural.random_dags import orient as orient
from capsjax.neural.random_dags import random_dag as random_dag
from capsjax.neural.rules import convergence as convergence
from capsjax.neural.rules import growth as growth
from capsjax.neural.rules import neuron as neuron
from capsjax.neural.rules import variable as variable
