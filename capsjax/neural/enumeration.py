"""enumerate_growth: every network that the rules of neuron and growth reach.

A network of growth is its neurons' sources: for each neuron a nonempty subset of the
nodes before it, here the bits of an integer. So networks are numbered like the
readings of an odometer whose wheels grow: the neuron after k others has
`2^(|S| + k) - 1` choices.
"""

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, overload

from capsjax.neural.network import NeuralNetwork, network

if TYPE_CHECKING:
    import networkx as nx


class Networks(Sequence[NeuralNetwork]):
    """A sequence of networks, each built when it is asked for.

    Inputs are called x1, x2, ..., neurons h1, h2, ... in the order of growth.
    """

    def __init__(self, inputs: int, neurons: int, numbers: range | tuple[int, ...]):
        self._inputs = inputs
        self._neurons = neurons
        self._numbers = numbers

    def __len__(self) -> int:
        count = self._count()
        if count > sys.maxsize:
            raise OverflowError(f"{count:,} networks are more than len() can say")
        return count

    def __iter__(self) -> Iterator[NeuralNetwork]:
        return map(self._network, self._numbers)

    @overload
    def __getitem__(self, index: int) -> NeuralNetwork: ...
    @overload
    def __getitem__(self, index: slice) -> "Networks": ...
    def __getitem__(self, index: int | slice) -> "NeuralNetwork | Networks":
        try:
            chosen = self._numbers[index]
        except IndexError:
            raise IndexError(
                f"network {index} of {self!r}, which are counted from 0"
            ) from None
        if isinstance(chosen, int):
            return self._network(chosen)
        return Networks(self._inputs, self._neurons, chosen)

    def __repr__(self) -> str:
        return f"<{self._count():,} networks>"

    def _count(self) -> int:
        """How many; `len` of a range ends where the machine's integers do."""
        numbers = self._numbers
        if isinstance(numbers, tuple) or not numbers:
            return len(numbers)
        return (numbers[-1] - numbers[0]) // numbers.step + 1

    def _network(self, number: int) -> NeuralNetwork:
        edges = _edges(self._inputs, _subsets(self._inputs, self._neurons, number))
        return network(
            [f"x{i + 1}" for i in range(self._inputs)],
            [f"h{k + 1}" for k in range(self._neurons)],
            *zip(*edges, strict=True),
        )


def enumerate_growth(
    inputs: int, neurons: int, *, up_to_isomorphism: bool = False
) -> Networks:
    """All networks that growth reaches from given inputs with a number of neurons.

    The first neuron reads all inputs: with one input that is the only growth of the
    rule of variable; with several it is the rule of neuron, because only a connected
    network can grow. Each further neuron reads any nonempty subset N of S and H:

        count = product over k = 1 .. neurons - 1 of (2^(inputs + k) - 1)

    Two networks are isomorphic if nodes can be renamed, inputs to inputs and neurons
    to neurons, such that connections become connections; so inputs may change places.

    Args:
        inputs: Number of inputs, 1 or more.
        neurons: Number of neurons, 1 or more.
        up_to_isomorphism: Keep one network of each class, the first. The classes are
            found before this returns: those of one input and 5 neurons in seconds;
            there are about 40 times as many with one neuron more.

    Returns:
        The networks, a sequence that builds each when it is asked for; weights and
        biases are to be drawn.

    Raises:
        ValueError: A number is no positive integer.

    Example:
        >>> from capsjax.neural import enumerate_growth
        >>> len(enumerate_growth(1, 3)), len(enumerate_growth(2, 2))
        (21, 7)
        >>> len(enumerate_growth(1, 3, up_to_isomorphism=True))
        16
        >>> [len(net.sources) for net in enumerate_growth(1, 2)]
        [2, 2, 3]

    Source: Li & Shan, arXiv 1805.03551, section 2, rules of variable, neuron and
    growth. Isomorphism is decided by networkx: VF2++ (Juttner & Madarasi, 2018) among
    networks of equal Weisfeiler-Lehman hash (Shervashidze et al., 2011).
    """
    for name, count in (("inputs", inputs), ("neurons", neurons)):
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise ValueError(
                f"enumerate_growth: {name}={count!r}; expected an integer, 1 or more"
            )
    if up_to_isomorphism:
        return Networks(inputs, neurons, _classes(inputs, neurons))
    count = 1
    for wheel in _wheels(inputs, neurons):
        count *= wheel
    return Networks(inputs, neurons, range(count))


def _wheels(inputs: int, neurons: int) -> list[int]:
    """Number of choices of each neuron after the first, which has no choice."""
    return [2 ** (inputs + k) - 1 for k in range(1, neurons)]


def _subsets(inputs: int, neurons: int, number: int) -> list[int]:
    """The sources of each neuron, as bits; the last neuron's wheel turns fastest."""
    subsets = []
    for wheel in reversed(_wheels(inputs, neurons)):
        number, position = divmod(number, wheel)
        subsets.append(position + 1)
    return [2**inputs - 1, *reversed(subsets)]


def _edges(inputs: int, subsets: Iterable[int]) -> list[tuple[int, int]]:
    """The connections as (source, target), by target."""
    return [
        (source, target)
        for target, bits in enumerate(subsets, inputs)
        for source in range(target)
        if bits >> source & 1
    ]


def _classes(inputs: int, neurons: int) -> tuple[int, ...]:
    """The number of the first network of each class, in order.

    Each class of networks is reached from one of networks with a neuron less, and
    isomorphic networks grow to the same classes. So only the first of each class is
    grown; as the wheels turn, what it grows to comes before what the others grow to.
    """
    numbers = (0,)
    for count, wheel in enumerate(_wheels(inputs, neurons), 2):
        grown = (n * wheel + position for n in numbers for position in range(wheel))
        numbers = tuple(_first_of_each(inputs, count, grown))
    return numbers


def _first_of_each(inputs: int, neurons: int, numbers: Iterable[int]) -> Iterator[int]:
    import networkx as nx

    alike: dict[str, list[nx.DiGraph]] = defaultdict(list)
    for number in numbers:
        graph = _graph(inputs, _subsets(inputs, neurons, number))
        # networkx, because what computes canonical forms (nauty, bliss in igraph) is
        # under the GPL. The hash takes no directions, as networkx warns of hashes of
        # directed graphs; the labels tell most directions, VF2++ has the last word.
        key = nx.weisfeiler_lehman_graph_hash(graph.to_undirected(), node_attr="label")
        known = alike[key]
        if not any(nx.vf2pp_is_isomorphic(graph, g, node_label="label") for g in known):
            known.append(graph)
            yield number


def _graph(inputs: int, subsets: list[int]) -> "nx.DiGraph":
    """The network's graph; nodes are labeled by what an isomorphism must keep."""
    import networkx as nx

    graph = nx.DiGraph(_edges(inputs, subsets))
    levels = [0] * inputs
    for node, bits in enumerate(subsets, inputs):
        levels.append(1 + max(levels[z] for z in range(node) if bits >> z & 1))
    for node, level in enumerate(levels):
        graph.nodes[node]["label"] = f"level {level}, {graph.out_degree(node)} readers"
    return graph
