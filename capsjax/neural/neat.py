"""Genomes of NEAT, as neat-python holds them: read as networks, and written back.

A genome is an object with node genes and connection genes; neat-python itself is not
imported, and nothing of a file is run. What the two sides compute:

    neat-python   y = f(s * (bias + response * sum of (weight * y_z)))
    a network     y = f(b + sum of (w * y_z))

`s` is what neat-python's activation multiplies its argument by: 5 in sigmoid, 2.5 in
tanh. So `b = s * bias` and `w = s * response * weight`, and both compute the same.
"""

from collections.abc import Iterable
from typing import Any

from capsjax import caps
from capsjax.graph.errors import GraphError, Problem, brief, listing
from capsjax.graph.kinds import CapKind
from capsjax.neural.network import NeuralNetwork, network, require_network

_ACTIVATIONS: dict[str, tuple[CapKind, float]] = {
    "sigmoid": (caps.sigmoid(), 5.0),
    "tanh": (caps.tanh(), 2.5),
    "relu": (caps.relu(), 1.0),
    "elu": (caps.elu(), 1.0),
    "lelu": (caps.leaky_relu(0.005), 1.0),
    "selu": (caps.selu(), 1.0),
    "identity": (caps.identity(), 1.0),
}
"""neat-python's name: our function, and the factor of its argument."""

_NAMES = {cap: (name, scale) for name, (cap, scale) in _ACTIVATIONS.items()}


def read_genome(genome: Any, config: Any) -> NeuralNetwork:
    """The network that a genome encodes, with its weights and biases.

    It computes what neat-python's `FeedForwardNetwork` computes. As there, disabled
    connections are left out, and nodes that no output depends on. Its names are the
    genome's keys, its outputs are in the order of `config.output_keys`. Where a
    genome is no network of the paper:

    * An input that no node reads is left out, because a network is connected;
      `inputs` of the network names the columns that remain.
    * A node without sources reads the first of these inputs with weight 0.
    * An output that other nodes read gets a new key, and a neuron that copies it
      (activation identity, weight 1, bias 0) takes its place.

    Args:
        genome: A `neat.DefaultGenome`: `nodes` have `bias`, `response`, `activation`
            and `aggregation`, `connections` have `weight` and `enabled`.
        config: `genome_config` of neat-python's `Config`: its `input_keys` and
            `output_keys` are read.

    Returns:
        The network; weights and biases are given.

    Raises:
        GraphError: An activation or aggregation that has no equal here; a missing
            node; a cycle, as in genomes of recurrent networks; or nodes that are
            connected with no input or with each other in several parts.

    Example:
        >>> from types import SimpleNamespace as Bunch
        >>> from capsjax.neural import read_genome
        >>> node = Bunch(bias=0.1, response=2, activation="tanh", aggregation="sum")
        >>> genome = Bunch(
        ...     nodes={0: node}, connections={(-1, 0): Bunch(weight=3, enabled=True)}
        ... )
        >>> config = Bunch(input_keys=[-1], output_keys=[0])
        >>> net = read_genome(genome, config)
        >>> net.W, net.biases.tolist()
        (frozenset({(-1, 0, 15.0)}), [0.25])

    Source: Stanley & Miikkulainen (2002), Evolving Neural Networks through Augmenting
    Topologies; neat-python 2.0.
    """
    _check_given("read_genome", genome, config)
    enabled = {k: c.weight for k, c in genome.connections.items() if c.enabled}
    outputs = list(config.output_keys)
    required = _required(enabled, outputs, config.input_keys)
    _check_genes(genome.nodes, required)

    read = {source for source, target in enabled if target in required}
    inputs = [key for key in config.input_keys if key in read]
    inputs = inputs or list(config.input_keys[:1])
    copied = [key for key in outputs if key in read]
    inner = sorted(required - set(outputs)) + copied
    after = max([*required, *genome.nodes]) + 1
    name = {key: key for key in [*inputs, *required]}
    name |= {key: after + i for i, key in enumerate(copied)}
    neurons = [name[key] for key in inner] + outputs
    number = {each: i for i, each in enumerate([*inputs, *neurons])}

    activations = {key: caps.identity() for key in outputs}
    biases = dict.fromkeys(outputs, 0.0)
    edges = {(name[key], key): 1.0 for key in copied}
    edges |= {
        (inputs[0], name[key]): 0.0 for key in required - {end for _, end in enabled}
    }
    for key in required:
        gene = genome.nodes[key]
        activations[name[key]], scale = _ACTIVATIONS[gene.activation]
        biases[name[key]] = scale * gene.bias
    for (source, target), weight in enabled.items():
        if target in required:
            gene = genome.nodes[target]
            factor = _ACTIVATIONS[gene.activation][1] * gene.response
            edges[name[source], name[target]] = factor * weight
    return network(
        inputs,
        neurons,
        [number[source] for source, _ in edges],
        [number[target] for _, target in edges],
        [activations[each] for each in neurons],
        weights=list(edges.values()),
        biases=[biases[each] for each in neurons],
    )


def write_genome(net: NeuralNetwork, genome: Any, config: Any) -> Any:
    """Writes a network into a genome: the way back of `read_genome`.

    The genome may be new, or the one that the network was read from: genes that it
    has keep their keys and innovation numbers, so that a trained genome can evolve
    on. A connection that the network has not is disabled; a node that it has not
    stays, unconnected. Responses become 1, aggregations "sum".

    Inputs keep their keys if all have one of `config.input_keys`; otherwise they get
    these in order. The neurons that nobody reads get `config.output_keys` in order.
    Any other neuron keeps its name if that is the key of a hidden node of the genome;
    otherwise it gets a new key from the configuration.

    Args:
        net: Its weights and biases are given; after training, make it by
            `net.with_named(compiled.named(params))`.
        genome: A `neat.DefaultGenome`, which is changed.
        config: `genome_config` of neat-python's `Config`; new genes, keys and
            innovation numbers are made by it.

    Returns:
        The genome.

    Raises:
        GraphError: An activation that neat-python has not; or another number of
            inputs or outputs than the configuration has.
        ValueError: Weights or biases are to be drawn.

    Example:
        >>> from types import SimpleNamespace as Bunch
        >>> from capsjax.neural import read_genome, write_genome
        >>> node = Bunch(bias=0.1, response=2, activation="tanh", aggregation="sum")
        >>> connection = Bunch(weight=3, enabled=True)
        >>> genome = Bunch(nodes={0: node}, connections={(-1, 0): connection})
        >>> config = Bunch(input_keys=[-1], output_keys=[0])
        >>> _ = write_genome(read_genome(genome, config), genome, config)
        >>> node.response, connection.weight
        (1.0, 6.0)

    Source: neat-python 2.0.
    """
    require_network("write_genome", net)
    _check_given("write_genome", genome, config)
    parameters = net.named()["neurons"]
    _check_network(net, config)
    sinks = net.output_neurons.tolist()
    names = net.names.tolist()
    keys = dict(zip(sinks, config.output_keys, strict=True))
    own = set(names[: len(net.inputs)]) <= set(config.input_keys)
    for i in range(len(net.inputs)):
        keys[i] = names[i] if own else config.input_keys[i]
    hidden = genome.nodes.keys() - set(config.output_keys)
    order = sinks + sorted(set(range(len(net.inputs), len(names))) - set(sinks))
    scales = {}
    for i in order:
        if i not in keys:
            kept = names[i] in hidden
            keys[i] = names[i] if kept else config.get_new_node_key(genome.nodes)
        j = i - len(net.inputs)
        name, scales[i] = _NAMES[net.activations[net.activation_of[j]]]
        gene = genome.nodes.get(keys[i])
        if gene is None:
            gene = genome.create_node(config, keys[i])
        gene.activation, gene.aggregation, gene.response = name, "sum", 1.0
        gene.bias = float(parameters["B"][j] / scales[i])
        genome.nodes[keys[i]] = gene

    for gene in genome.connections.values():
        gene.enabled = False
    weights = parameters["W"]["edges"].tolist()
    ends = net.sources.tolist(), net.targets.tolist()
    for source, target, weight in zip(*ends, weights, strict=True):
        key = keys[source], keys[target]
        gene = genome.connections.get(key)
        if gene is None:
            innovation = _innovation(genome, config, key)
            gene = genome.create_connection(config, *key, innovation)
        gene.weight, gene.enabled = weight / scales[target], True
        genome.connections[key] = gene
    return genome


def _required(
    enabled: Iterable[tuple[int, int]], outputs: list[int], inputs: Iterable[int]
) -> set[int]:
    """The nodes that an output depends on, outputs included, inputs not."""
    sources: dict[int, list[int]] = {key: [] for key in inputs}
    given = set(sources)
    for source, target in enabled:
        sources.setdefault(target, []).append(source)
    required, walk = set(outputs), list(outputs)
    while walk:
        for source in sources.get(walk.pop(), ()):
            if source not in required and source not in given:
                required.add(source)
                walk.append(source)
    return required


def _check_genes(nodes: Any, required: set[int]) -> None:
    problems = []
    for key in sorted(required):
        if key not in nodes:
            problems.append(
                Problem(
                    ("nodes", key),
                    f"node {key}",
                    "a connection or output of a node that the genome has not",
                    "a node gene for every key that is neither disabled nor an input",
                    "use input_keys and output_keys of the genome's own configuration",
                )
            )
            continue
        for what, known in (("activation", _ACTIVATIONS), ("aggregation", ("sum",))):
            if (found := getattr(nodes[key], what)) not in known:
                problems.append(
                    Problem(
                        ("nodes", key, what),
                        f"node {key}",
                        f"{what} {brief(found)}, which has no equal in capsjax",
                        listing(known),
                        f"evolve with {what}_options of these alone",
                    )
                )
    if problems:
        raise GraphError("genome", problems)


def _check_network(net: NeuralNetwork, config: Any) -> None:
    problems = []
    for cap in net.activations:
        if cap not in _NAMES:
            problems.append(
                Problem(
                    ("activations",),
                    "activations",
                    f"{cap}, which neat-python has not",
                    listing(str(each) for each in _NAMES),
                    "give the neurons other activations",
                )
            )
    inputs, sinks = net.inputs.tolist(), net.output_neurons.tolist()
    counts = [("outputs", len(sinks), len(config.output_keys))]
    if not set(inputs) <= set(config.input_keys):
        counts.append(("inputs", len(inputs), len(config.input_keys)))
    for what, found, expected in counts:
        if found != expected:
            problems.append(
                Problem(
                    (what,),
                    what,
                    f"{found} {what}",
                    f"{expected}, as the configuration has {what[:-1]} keys",
                    f"set num_{what} = {found} in the configuration",
                )
            )
    if not len(net.neurons):
        problems.append(
            Problem(
                ("neurons",),
                "neurons",
                "none",
                "a neuron for every output, as a genome has",
                "write a network with neurons",
            )
        )
    if problems:
        raise GraphError("network", problems)


def _innovation(genome: Any, config: Any, key: tuple[int, int]) -> int:
    """A number for a new connection gene: the population's next, if it has begun."""
    if config.innovation_tracker is not None:
        return config.innovation_tracker.get_innovation_number(*key)
    known = (gene.innovation for gene in genome.connections.values())
    return 1 + max(known, default=0)


def _check_given(function: str, genome: Any, config: Any) -> None:
    if not (hasattr(genome, "nodes") and hasattr(genome, "connections")):
        raise TypeError(
            f"{function} takes a neat.DefaultGenome, not {type(genome).__name__}; "
            "expected nodes and connections"
        )
    if not (hasattr(config, "input_keys") and hasattr(config, "output_keys")):
        raise TypeError(
            f"{function} takes the configuration of the genome, not "
            f"{type(config).__name__}; of a neat.Config take config.genome_config"
        )
