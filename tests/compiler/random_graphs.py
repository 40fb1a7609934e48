"""Random connected graphs of capsules, tiny, as hypothesis draws them."""

from typing import Any

import hypothesis.strategies as st

import capsjax as cj
from capsjax.graph import Graph, Node, from_document, to_document
from capsjax.graph.declaration import reachable

INPUT_SHAPES = [(3,), (2, 3), (2, 3), (4, 4, 2), (4, 4, 2), ()]
SMOOTH = ["identity", "tanh", "sigmoid", "softplus", "silu", "gelu", "elu"]
KINKED = ["relu", "leaky_relu", "selu"]
BIASES = ["channel", "full", None]


def edges_between(draw: Any, source: Node, shape: Any, target: Any):
    """One edge from a source of a shape that contributes the target shape."""
    options = [lambda: cj.identity(source)] * 2 if shape == target else []
    if shape == target:
        options.append(lambda: cj.scale(source))
        options += [lambda: cj.channel_scale(source)] * bool(shape)
    if size(shape) == size(target):
        options.append(lambda: cj.reshape(source, target))
    if shape and shape[:-1] == target[:-1] and target:
        options += [lambda: cj.matmul(source, target[-1])] * 2
    if shape and shape[:-1] == target:
        options.append(lambda: cj.dot(source))
    if len(shape) == 3 and shape[:-1] == target[:-1]:
        window = draw(st.sampled_from([(1, 1), (2, 1), (3, 3)]))
        options.append(lambda: cj.conv(source, target[-1], window, padding="SAME"))
    if len(shape) == 2 and shape[::-1] == target:
        options.append(lambda: cj.transpose(source, (1, 0)))
    return draw(st.sampled_from(options))() if options else None


def size(shape: tuple[int, ...]) -> int:
    """How many numbers an array of the shape has."""
    count = 1
    for n in shape:
        count *= n
    return count


def first_edge(draw: Any, source: Node, shape: Any) -> Any:
    """An edge that decides the capsule's shape, and that shape."""
    options: list[Any] = [(cj.identity(source), shape), (cj.scale(source), shape)]
    if shape:
        n = draw(st.integers(1, 3))
        options += [(cj.matmul(source, n), (*shape[:-1], n))] * 2
        options.append((cj.dot(source), shape[:-1]))
        options.append((cj.channel_scale(source), shape))
    if len(shape) == 2:
        options += [(cj.transpose(source, (1, 0)), shape[::-1])] * 2
    options.append((cj.reshape(source, (-1,)), (size(shape),)))
    return draw(st.sampled_from(options))


def placed(draw: Any, nodes: list[Any]) -> Any:
    """Several `place` edges: a concatenation, or with explicit slots a sum."""
    source, shape = draw(st.sampled_from([x for x in nodes if x[1]]))
    others = [x for x in nodes if x[1] and x[1][:-1] == shape[:-1]]
    more = draw(st.lists(st.sampled_from(others), min_size=1, max_size=2))
    chosen = [(source, shape), *more]
    total = sum(each[1][-1] for each in chosen)
    target = (*shape[:-1], total)
    if draw(st.booleans()):
        return [cj.place(each[0]) for each in chosen], target
    starts = [draw(st.integers(0, total - each[1][-1])) for each in chosen]
    edges = [
        cj.place(each[0], axis=len(shape) - 1, offset=start, size=total)
        for each, start in zip(chosen, starts, strict=True)
    ]
    return edges, target


def cap_for(draw: Any, shape: tuple[int, ...], kinked: bool) -> tuple[Any, Any]:
    """A capsule function that can take U of the shape, and Y's shape."""
    options: list[Any] = [(kind, shape) for kind in SMOOTH + KINKED * kinked]
    if shape:
        options += [("softmax", shape), ("log_softmax", shape), ("squash", shape)]
        options.append(("length", shape[:-1]))
    if len(shape) == 3:
        rounds = draw(st.integers(1, 3))
        options += [(cj.caps.route(rounds), shape[1:])] * 3
    return draw(st.sampled_from(options))


def special(draw: Any, kind: str, nodes: list[Any], kinked: bool) -> Any:
    """A convolution, a pooling or a routing: edges, cap and output; None if unfit."""
    if kind == "vote":
        fit = [x for x in nodes if len(x[1]) == 2]
    else:
        fit = [x for x in nodes if len(x[1]) == 3 and min(x[1][:2]) >= 2]
    if not fit:
        return None
    source, shape = draw(st.sampled_from(fit))
    if kind == "vote":
        votes = (shape[0], 2, 2)
        cap, output = draw(
            st.sampled_from([(cj.caps.route(2), (2, 2)), ("squash", votes)])
        )
        return [cj.vote(source, 2, 2)], votes, cap, output
    if kind == "conv":
        edge, target = draw(st.sampled_from(convolutions(source, shape)))
        return [edge], target, *cap_for(draw, target, kinked)
    half = (shape[0] // 2, shape[1] // 2, shape[2])
    pools = [cj.caps.avg_pool((2, 2))] + [cj.caps.max_pool((2, 2))] * kinked
    options = [(pool, half) for pool in pools] + [("global_avg_pool", shape[-1:])]
    return [cj.identity(source)], shape, *draw(st.sampled_from(options))


def convolutions(source: Node, shape: tuple[int, ...]) -> list[Any]:
    """Convolutions of an image of at least 2 x 2, with the shapes they give."""
    height, width, channels = shape
    found = [
        (cj.conv(source, 2, (2, 2), padding="SAME"), (height, width, 2)),
        (cj.conv(source, 3, (2, 2), stride=(2, 1)), (height // 2, width - 1, 3)),
        (cj.conv(source, 2, (2, 1), padding=((1, 0), (0, 1))), (height, width + 1, 2)),
    ]
    if channels % 2 == 0:
        grouped = cj.conv(source, 2, (1, 2), dilation=(1, 1), groups=2)
        found.append((grouped, (height, width - 1, 2)))
    return found


def capsule(draw: Any, name: str, nodes: list[Any], kinked: bool) -> Any:
    """One more capsule over the nodes there are."""
    more = ["place", "copy", "copy", "conv", "pool", "pool", "vote"]
    kind = draw(st.sampled_from(["edge", "edge", "edge", *more]))
    if kind == "copy":  # what drop_identities removes, unless it is an output
        source, shape = draw(st.sampled_from(nodes))
        return cj.capsule(name, cj.identity(source), bias=None), shape
    found = None
    if kind in ("conv", "pool", "vote"):
        found = special(draw, kind, nodes, kinked)
    if found is None:
        if kind == "place" and any(shape for _, shape in nodes):
            edges, target = placed(draw, nodes)
        else:
            source, shape = draw(st.sampled_from(nodes[-4:]))
            edge, target = first_edge(draw, source, shape)
            edges = [edge]
        found = edges, target, *cap_for(draw, target, kinked)
    edges, target, cap, output = found
    for source, shape in draw(st.lists(st.sampled_from(nodes), max_size=2)):
        more = edges_between(draw, source, shape, target)
        edges += [] if more is None else [more]
    bias = draw(st.sampled_from(BIASES))
    return cj.capsule(name, *edges, cap=cap, bias=bias), output


def head(draw: Any, name: str, nodes: list[Any]) -> Any:
    """A capsule for a loss over classes."""
    source, shape = draw(st.sampled_from([x for x in nodes if x[1]]))
    cap = draw(st.sampled_from(["softmax", "log_softmax", "sigmoid"]))
    bias = draw(st.sampled_from(BIASES))
    node = cj.capsule(name, cj.matmul(source, 3), cap=cap, bias=bias)
    return node, (*shape[:-1], 3)


def loss_for(draw: Any, node: Node, shape: tuple[int, ...]) -> Any:
    """A loss that suits a capsule, or none."""
    options: list[Any] = [None, "mean_squared_error"]
    if node.cap in ("softmax", "log_softmax"):
        options += ["cross_entropy"] * 3
    if node.cap == "sigmoid":
        options += ["binary_cross_entropy"] * 3
    if shape and node.cap in ("length", "sigmoid", "softmax"):
        options += [cj.losses.margin(weight=0.5)] * 2
    return draw(st.sampled_from(options))


@st.composite
def graphs(draw: Any, kinked: bool = True) -> Graph:
    """A graph with at least one loss, every input read, connected."""
    shapes = draw(st.lists(st.sampled_from(INPUT_SHAPES), min_size=1, max_size=3))
    inputs = [(cj.input(f"x{i}", s), s) for i, s in enumerate(shapes)]
    flat = [
        cj.capsule(f"flat{i}", cj.reshape(x, (-1,)), bias=None)
        for i, (x, _) in enumerate(inputs)
    ]
    # One capsule joins the inputs, so that the graph is connected.
    join = cj.capsule("join", *(cj.matmul(x, 3) for x in flat), cap="tanh")
    nodes: list[Any] = [*inputs, (join, (3,))]
    for i in range(draw(st.integers(1, 5))):
        nodes.append(capsule(draw, f"c{i}", nodes, kinked))
    for i in range(draw(st.integers(0, 2))):
        nodes.append(head(draw, f"head{i}", nodes))
    return _graph(draw, nodes[len(inputs) :])


def _graph(draw: Any, capsules: list[Any]) -> Graph:
    read = {id(e.source) for node, _ in capsules for e in node.incoming}
    outputs = [x for x in capsules if id(x[0]) not in read]
    also_read = [x for x in capsules if id(x[0]) in read]
    if also_read and draw(st.booleans()):
        outputs.append(draw(st.sampled_from(also_read)))
    losses = {node.name: loss_for(draw, node, shape) for node, shape in outputs}
    losses = {name: loss for name, loss in losses.items() if loss is not None}
    losses = losses or {outputs[0][0].name: "mean_squared_error"}
    nodes = [node for node, _ in outputs]
    if all(node.name != "join" for node in reachable(tuple(nodes))):
        nodes.append(capsules[0][0])
    graph = cj.graph(*nodes, name="random", losses=losses)
    return _fewer_outputs(draw, graph) if draw(st.integers(0, 3)) == 0 else graph


def _fewer_outputs(draw: Any, graph: Graph) -> Graph:
    """The same graph with a head left out: capsules that no output needs."""
    document = to_document(graph)
    kept = [name for name in graph.outputs if name in dict(graph.losses)]
    document["outputs"] = kept[: draw(st.integers(1, len(kept)))]
    document["losses"] = {
        name: loss
        for name, loss in document["losses"].items()
        if name in document["outputs"]
    }
    return from_document(document)
