"""NEAT genomes against neat-python's own phenotype, in float64."""

import math
import random
from types import SimpleNamespace

import networkx as nx
import numpy as np
import pytest

from capsjax import caps
from capsjax.graph.errors import GraphError
from capsjax.neural import network, random_dag
from capsjax.neural.neat import read_genome, write_genome

neat = pytest.importorskip("neat", reason="neat-python is not installed")
creates_cycle = neat.graphs.creates_cycle

OURS = "sigmoid tanh relu elu lelu selu identity"

CONFIG = """
[NEAT]
fitness_criterion = max
fitness_threshold = 1
pop_size = 4
reset_on_extinction = False
no_fitness_termination = False
[DefaultSpeciesSet]
compatibility_threshold = 3
[DefaultStagnation]
species_fitness_func = max
max_stagnation = 5
species_elitism = 1
[DefaultReproduction]
elitism = 1
survival_threshold = 0.2
min_species_size = 1
[DefaultGenome]
num_inputs = {inputs}
num_outputs = {outputs}
num_hidden = {hidden}
feed_forward = True
initial_connection = {connection}
single_structural_mutation = False
structural_mutation_surer = default
conn_add_prob = 0.7
conn_delete_prob = 0.1
node_add_prob = 0.5
node_delete_prob = 0.1
compatibility_disjoint_coefficient = 1
compatibility_weight_coefficient = 0.5
activation_default = {activation}
activation_mutate_rate = 0.3
activation_options = {options}
aggregation_default = sum
aggregation_mutate_rate = 0
aggregation_options = sum
enabled_default = True
enabled_mutate_rate = 0.1
enabled_rate_to_true_add = 0
enabled_rate_to_false_add = 0
"""

for _name in ("bias", "response", "weight"):
    CONFIG += f"""
{_name}_init_mean = {0 if _name != "response" else 1}
{_name}_init_stdev = 0.7
{_name}_init_type = gaussian
{_name}_max_value = 5
{_name}_min_value = -5
{_name}_mutate_power = 0.4
{_name}_mutate_rate = 0.8
{_name}_replace_rate = 0.1
"""
CONFIG += """
time_constant_init_mean = 1
time_constant_init_stdev = 0
time_constant_init_type = gaussian
time_constant_max_value = 10
time_constant_min_value = 0.01
time_constant_mutate_power = 0
time_constant_mutate_rate = 0
time_constant_replace_rate = 0
"""


@pytest.fixture
def configure(tmp_path):
    """Makes configurations; the chance of the module random is put back after."""
    state = random.getstate()

    def make(inputs=3, outputs=2, hidden=2, connection="full_direct", options=OURS):
        path = tmp_path / "config"
        activation = options.split()[0]
        given = {"inputs": inputs, "outputs": outputs, "hidden": hidden}
        given |= {"connection": connection, "options": options}
        path.write_text(CONFIG.format(activation=activation, **given))
        kinds = neat.DefaultGenome, neat.DefaultReproduction
        kinds += neat.DefaultSpeciesSet, neat.DefaultStagnation
        config = neat.Config(*kinds, str(path))
        config.genome_config.innovation_tracker = neat.InnovationTracker()
        return config

    yield make
    random.setstate(state)


def evolve(config, seed: int, mutations: int = 25):
    """A random genome."""
    random.seed(seed)
    genome = neat.DefaultGenome(seed)
    genome.configure_new(config.genome_config)
    for _ in range(mutations):
        genome.mutate(config.genome_config)
    return genome


FUNCTIONS = {
    "sigmoid": lambda u: 1 / (1 + math.exp(-u)),
    "tanh": math.tanh,
    "relu": lambda u: max(u, 0.0),
    "elu": lambda u: u if u > 0 else math.expm1(u),
    "leaky_relu": lambda u: u if u > 0 else 0.005 * u,
    "selu": lambda u: (
        1.0507009873554805 * (u if u > 0 else 1.6732632423543773 * math.expm1(u))
    ),
    "identity": float,
}


def evaluate(net, row) -> list[float]:
    """The outputs of a network, neuron by neuron."""
    values = dict(enumerate(row[: len(net.inputs)]))
    edges = {}
    for source, target, weight in zip(
        net.sources.tolist(), net.targets.tolist(), net.weights, strict=True
    ):
        edges.setdefault(target, []).append((source, weight))

    def value(node: int) -> float:
        if node not in values:
            i = node - len(net.inputs)
            u = math.fsum(w * value(z) for z, w in edges[node]) + net.biases[i]
            cap = net.activations[net.activation_of[i]]
            values[node] = FUNCTIONS[cap.kind](u)
        return values[node]

    return [value(node) for node in net.output_neurons.tolist()]


def weights(net) -> list[float]:
    return sorted(net.weights.tolist())


def phenotype(genome, config, row) -> list[float]:
    return neat.nn.FeedForwardNetwork.create(genome, config).activate(list(row))


def equal(net, genome, config, inputs: int) -> None:
    """Same outputs; the network's inputs say which columns it reads."""
    columns = [-1 - key for key in net.inputs.tolist()]
    for row in np.random.default_rng(0).normal(size=(5, inputs)):
        ours = evaluate(net, row[columns])
        np.testing.assert_allclose(
            ours, phenotype(genome, config, row), rtol=1e-9, atol=1e-12
        )


def connected(genome, config) -> bool:
    """Whether what the outputs depend on is one part, constants joined to an input."""
    graph = nx.DiGraph(k for k, c in genome.connections.items() if c.enabled)
    graph.add_nodes_from(config.genome_config.output_keys)
    needed = set(config.genome_config.output_keys)
    needed |= {z for y in needed for z in nx.ancestors(graph, y)}
    graph = graph.subgraph(needed).copy()
    inputs = [key for key in (-1, -2, -3) if key in needed] or [-1]
    ends = [key for key in needed if key >= 0 and not graph.in_degree(key)]
    graph.add_edges_from((inputs[0], key) for key in ends)
    return nx.is_weakly_connected(graph)


@pytest.mark.parametrize("connection", ["full_direct", "partial_direct 0.5"])
def test_random_genomes_compute_the_same_and_back(configure, connection):
    config = configure(connection=connection)
    read, copied, lost, constant = 0, 0, 0, 0
    for seed in range(60):
        genome = evolve(config, seed)
        if seed % 3 == 0 and not creates_cycle(list(genome.connections), (0, 1)):
            # Mutations never make an output a source; other hands may.
            made = genome.create_connection(config.genome_config, 0, 1, 10**6)
            genome.connections[0, 1] = made
        if not connected(genome, config):
            with pytest.raises(GraphError, match="connected"):
                read_genome(genome, config.genome_config)
            continue
        net = read_genome(genome, config.genome_config)
        equal(net, genome, config, 3)
        assert net.names[net.output_neurons].tolist() == [0, 1]
        read += 1
        copied += len(set(net.neurons.tolist()) - set(genome.nodes)) > 0
        lost += len(net.inputs) < 3
        constant += 0.0 in weights(net)

        fresh = write_genome(net, neat.DefaultGenome(0), config.genome_config)
        equal(net, fresh, config, 3)
        innovations = {k: c.innovation for k, c in genome.connections.items()}
        keys = set(genome.nodes)
        write_genome(net, genome, config.genome_config)
        equal(net, genome, config, 3)
        known = {k: genome.connections[k].innovation for k in innovations}
        assert known == innovations and keys <= set(genome.nodes)
        again = read_genome(genome, config.genome_config)
        assert weights(again) == pytest.approx(weights(net))
        genome.mutate(config.genome_config)  # evolution goes on
    assert read > 30 and copied and constant
    assert lost or connection == "full_direct"


def gene(**settings):
    settings = {"bias": 0.5, "response": 2.0, "activation": "tanh"} | settings
    return SimpleNamespace(**{"aggregation": "sum", **settings})


def bunch(connections, **nodes):
    """A genome without neat-python: `connections` with weights, None if disabled."""
    return SimpleNamespace(
        nodes={int(key[1:]): node for key, node in nodes.items()},
        connections={
            key: SimpleNamespace(weight=weight or 9.0, enabled=weight is not None)
            for key, weight in connections.items()
        },
    )


TWO = SimpleNamespace(input_keys=[-1, -2], output_keys=[0, 1], innovation_tracker=None)
ONE = SimpleNamespace(input_keys=[-1, -2], output_keys=[0], innovation_tracker=None)


def test_scale_and_response_are_folded():
    genome = bunch({(-2, 0): 3.0, (-1, 0): 1.0}, n0=gene(activation="sigmoid"))
    net = read_genome(genome, ONE)
    assert net.W == {(-2, 0, 30.0), (-1, 0, 10.0)}
    assert net.inputs.tolist() == [-1, -2] and net.biases == [2.5]
    assert net.activations == (caps.sigmoid(),)
    write_genome(net, genome, ONE)
    assert genome.connections[-2, 0].weight == 6.0
    assert vars(genome.nodes[0]) == vars(gene(activation="sigmoid", response=1.0))


def test_disabled_and_unneeded_parts_are_left_out():
    genome = bunch(
        {(-1, 0): 1.0, (-2, 0): None, (-1, 5): 1.0, (5, 6): 1.0},
        **{"n0": gene(), "n5": gene(activation="sin"), "n6": gene()},
    )
    net = read_genome(genome, ONE)
    assert net.S == {-1} and net.H == {0}


def test_an_output_that_is_read_is_copied():
    genome = bunch({(-1, 0): 1.0, (0, 1): 1.0}, n0=gene(), n1=gene(response=1.0))
    net = read_genome(genome, TWO)
    assert net.W == {(-1, 2, 5.0), (2, 0, 1.0), (2, 1, 2.5)}
    assert net.names[net.output_neurons].tolist() == [0, 1]
    chosen = [str(net.activations[i]) for i in net.activation_of]
    assert dict(zip(net.neurons.tolist(), chosen, strict=True)) == {
        **{2: "tanh", 0: "identity", 1: "tanh"}
    }


def test_a_constant_reads_an_input_with_weight_0():
    genome = bunch({(-2, 0): 1.0, (7, 0): 1.0}, n0=gene(), n7=gene())
    assert read_genome(genome, ONE).W == {(-2, 0, 5.0), (7, 0, 5.0), (-2, 7, 0.0)}
    assert read_genome(bunch({}, n0=gene()), ONE).W == {(-1, 0, 0.0)}


def test_a_network_of_ours_becomes_a_genome(configure):
    config = configure(inputs=4, outputs=3, hidden=0)
    body = random_dag("window", inputs=4, neurons=20, in_degree=3, window=8, outputs=3)
    rng = np.random.default_rng(1)
    net = network(
        *(4, 23, body.sources, body.targets),
        [*["relu", caps.leaky_relu(0.005)] * 11, "sigmoid"],
        weights=rng.normal(size=len(body.sources)),
        biases=rng.normal(size=23),
    )
    genome = write_genome(net, neat.DefaultGenome(1), config.genome_config)
    assert sorted(genome.nodes) == list(range(23))
    for row in rng.normal(size=(5, 4)):
        expected = phenotype(genome, config, row)
        np.testing.assert_allclose(evaluate(net, row), expected, rtol=1e-9)
    again = read_genome(genome, config.genome_config)
    assert len(again.sources) == len(net.sources)
    genome.mutate(config.genome_config)


def test_innovation_numbers_go_on_without_a_population(configure):
    config = configure(inputs=2, outputs=1)
    config.genome_config.innovation_tracker = None
    net = network(2, 1, [0, 1], [2, 2], weights=[1, 2], biases=[0])
    genome = write_genome(net, neat.DefaultGenome(1), config.genome_config)
    found = sorted(c.innovation for c in genome.connections.values())
    assert found == [1, 2]


@pytest.mark.parametrize(
    ("genome", "config", "messages"),
    [
        (
            bunch({(-1, 0): 1.0}, n0=gene(activation="sin", aggregation="max")),
            ONE,
            [
                "graph 'genome' has 2 problems",
                "1. node 0 (nodes[0].activation)",
                "found:    activation 'sin', which has no equal in capsjax",
                "expected: sigmoid, tanh, relu, elu, lelu, selu, identity",
                "cure:     evolve with activation_options of these alone",
                "2. node 0 (nodes[0].aggregation)",
                "found:    aggregation 'max', which has no equal in capsjax",
                "expected: sum",
            ],
        ),
        (
            bunch({(-1, 0): 1.0, (8, 0): 1.0}, n0=gene()),
            ONE,
            ["1. node 8", "a connection or output of a node that the genome has not"],
        ),
        (bunch({(-1, 0): 1.0, (-2, 1): 1.0}, n0=gene(), n1=gene()), TWO, ["connected"]),
        (
            bunch({(-1, 0): 1.0, (4, 0): 1.0, (0, 4): 1.0}, n0=gene(), n4=gene()),
            ONE,
            ["cycle"],
        ),
        (bunch({(-1, 0): float("nan")}, n0=gene()), ONE, ["nan"]),
    ],
)
def test_what_cannot_be_read(genome, config, messages):
    with pytest.raises(GraphError) as error:
        read_genome(genome, config)
    for message in messages:
        assert message in str(error.value)


@pytest.mark.parametrize(
    ("net", "messages"),
    [
        (
            network(2, 1, [0, 1], [2, 2], "gelu", weights=[1, 2], biases=[0]),
            ["found:    gelu, which neat-python has not", "leaky_relu(negative_slope="],
        ),
        (
            network(1, 2, [0, 0], [1, 2], "tanh", weights=[1, 2], biases=[0, 0]),
            [
                "found:    2 outputs\n    expected: 1, as the configuration has output",
                "found:    1 inputs\n    expected: 2, as the configuration has input k",
                "cure:     set num_inputs = 1 in the configuration",
            ],
        ),
        (network([-1], [], [], [], weights=[], biases=[]), ["neurons (neurons)"]),
    ],
)
def test_what_cannot_be_written(net, messages):
    genome = bunch({(-1, 0): 1.0}, n0=gene())
    with pytest.raises(GraphError) as error:
        write_genome(net, genome, ONE)
    for message in messages:
        assert message in str(error.value)
    assert genome.connections[-1, 0].weight == 1.0 and genome.nodes[0].response == 2.0


def test_weights_to_be_drawn_cannot_be_written():
    net = network(2, 1, [0, 1], [2, 2])
    with pytest.raises(ValueError, match="declares no weights and biases"):
        write_genome(net, bunch({}), ONE)
