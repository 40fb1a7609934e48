"""Section 2 of the paper: neural networks as 4-tuples, their rules and their graphs."""

import capsjax.neural.document  # noqa: F401  (enters its form in the table)
from capsjax.neural.derivation import Derivation as Derivation
from capsjax.neural.derivation import derive as derive
from capsjax.neural.derivation import replay as replay
from capsjax.neural.enumeration import enumerate_growth as enumerate_growth
from capsjax.neural.lift import Lifted as Lifted
from capsjax.neural.lift import lift as lift
from capsjax.neural.model import Model as Model
from capsjax.neural.model import model as model
from capsjax.neural.neat import read_genome as read_genome
from capsjax.neural.neat import write_genome as write_genome
from capsjax.neural.network import NeuralNetwork as NeuralNetwork
from capsjax.neural.network import network as network
from capsjax.neural.random_dags import orient as orient
from capsjax.neural.random_dags import random_dag as random_dag
from capsjax.neural.representation import induced_network as induced_network
from capsjax.neural.representation import to_networkx as to_networkx
from capsjax.neural.representation import to_sparse as to_sparse
from capsjax.neural.representation import vertices as vertices
from capsjax.neural.rules import convergence as convergence
from capsjax.neural.rules import growth as growth
from capsjax.neural.rules import neuron as neuron
from capsjax.neural.rules import variable as variable
