"""Networks that play: DQN, AlphaGo's policy and value networks, AlphaGo Zero."""

import capsjax as cj
from capsjax.graph import Bias, Graph
from capsjax.zoo.registry import network


@network("dqn")
def dqn(*, actions: int = 18) -> Graph:
    """The deep Q-network that plays Atari 2600: 1,693,362 parameters.

    1,686,180 with 4 actions, 1,687,206 with 6.

    The target of "values" is `r + gamma max Q` for the action that was taken, and for
    the others the network's own value, so that they have no error. The paper clips the
    error to [-1, 1]: that is the Huber loss.

    Args:
        actions: Number of actions.

    Returns:
        The graph: input "frames" (84, 84, 4), output "values" (actions,), the value Q
        of each action.

    Example:
        >>> import capsjax as cj
        >>> net = cj.compile(cj.zoo.graph("dqn", actions=4))
        >>> net.parameter_count, net.shapes["conv3"].output
        (1686180, (7, 7, 64))

    Source: Mnih et al., Human-level control through deep reinforcement learning,
        Nature 518 (2015), methods.
    """
    frames = cj.input("frames", (84, 84, 4))
    conv1 = cj.capsule("conv1", cj.conv(frames, 32, (8, 8), stride=(4, 4)), cap="relu")
    conv2 = cj.capsule("conv2", cj.conv(conv1, 64, (4, 4), stride=(2, 2)), cap="relu")
    conv3 = cj.capsule("conv3", cj.conv(conv2, 64, (3, 3)), cap="relu")
    flat = cj.capsule("flat", cj.reshape(conv3, (-1,)), bias=None)
    hidden = cj.capsule("hidden", cj.matmul(flat, 512), cap="relu")
    values = cj.capsule("values", cj.matmul(hidden, actions))
    return cj.graph(values, name="dqn", losses={"values": "huber"})


@cj.block
def layer(x, *, filters, window):
    """A convolution of AlphaGo: the board keeps its size."""
    conv = cj.conv(x, filters, window, padding="SAME")
    return cj.capsule("conv", conv, cap="relu")


@network("alphago-policy")
def alphago_policy(
    *, size: int = 19, planes: int = 48, filters: int = 192, layers: int = 12
) -> Graph:
    """AlphaGo's policy network: 3,882,793 parameters.

    The last layer has a bias of its own for each point of the board.

    Args:
        size: Points along a side of the board.
        planes: Feature planes of a position.
        filters: Filters of each layer: 192 in the version that played, 128, 256 and
            384 in the paper's comparison.
        layers: Convolutions before the last.

    Returns:
        The graph: input "board" (size, size, planes), output "move", the probability
        of each point.

    Example:
        >>> import capsjax as cj
        >>> net = cj.compile(cj.zoo.graph("alphago-policy"))
        >>> net.parameter_count, net.shapes["move"].output
        (3882793, (361,))

    Source: Silver et al., Mastering the game of Go with deep neural networks and tree
        search, Nature 529 (2016), methods.
    """
    board = cj.input("board", (size, size, planes))
    tower = layer("layer1", board, filters=filters, window=(5, 5))
    if layers > 1:
        repeat = {"repeat": layers - 1, "first": 2}
        tower = layer("layer", tower, filters=filters, window=(3, 3), **repeat)
    points = cj.capsule("points", cj.conv(tower, 1, (1, 1)), bias="full")
    flat = cj.reshape(points, (-1,))
    move = cj.capsule("move", flat, cap="softmax", bias=None)
    return cj.graph(move, name="alphago-policy", losses={"move": "cross_entropy"})


@network("alphago-value")
def alphago_value(
    *, size: int = 19, planes: int = 49, filters: int = 192, layers: int = 12
) -> Graph:
    """AlphaGo's value network: 3,980,162 parameters.

    One more plane than the policy network: the color that is to play. The paper names
    no nonlinearity for the convolution with one filter, and so it has none.

    Args:
        size: Points along a side of the board.
        planes: Feature planes of a position.
        filters: Filters of each layer.
        layers: Convolutions before the one with one filter.

    Returns:
        The graph: input "board" (size, size, planes), output "value" (), the expected
        outcome between -1 and 1.

    Example:
        >>> import capsjax as cj
        >>> net = cj.compile(cj.zoo.graph("alphago-value"))
        >>> net.parameter_count, net.shapes["value"].output
        (3980162, ())

    Source: Silver et al., Nature 529 (2016), methods.
    """
    board = cj.input("board", (size, size, planes))
    tower = layer("layer1", board, filters=filters, window=(5, 5))
    if layers > 1:
        repeat = {"repeat": layers - 1, "first": 2}
        tower = layer("layer", tower, filters=filters, window=(3, 3), **repeat)
    points = cj.capsule("points", cj.conv(tower, 1, (1, 1)))
    flat = cj.capsule("flat", cj.reshape(points, (-1,)), bias=None)
    hidden = cj.capsule("hidden", cj.matmul(flat, 256), cap="relu")
    value = cj.capsule("value", cj.dot(hidden), cap="tanh", bias="full")
    losses = {"value": "mean_squared_error"}
    return cj.graph(value, name="alphago-value", losses=losses)


@cj.block
def residual(x, *, filters, bias):
    """Two convolutions with batch normalization, and the connection around them."""
    conv1 = cj.conv(x, filters, (3, 3), padding="SAME")
    conv1 = cj.capsule("conv1", conv1, cap="standardize", bias=bias)
    norm1 = cj.capsule("norm1", cj.channel_scale(conv1), cap="relu")
    conv2 = cj.conv(norm1, filters, (3, 3), padding="SAME")
    conv2 = cj.capsule("conv2", conv2, cap="standardize", bias=bias)
    both = cj.channel_scale(conv2), cj.identity(x)
    return cj.capsule("norm2", *both, cap="relu")


@network("alphago-zero")
def alphago_zero(
    *,
    size: int = 19,
    planes: int = 17,
    filters: int = 256,
    blocks: int = 19,
    conv_bias: bool = True,
) -> Graph:
    """AlphaGo Zero's residual tower with two heads: 22,837,864 parameters.

    Without biases in the convolutions, which batch normalization takes off again,
    22,827,877. The paper does not say which it has. Its loss has an L2 penalty besides,
    which here is the optimizer's: `optax.add_decayed_weights(2e-4)`.

    Args:
        size: Points along a side of the board.
        planes: Feature planes of a position: 8 positions of 2 colors, and the color
            that is to play.
        filters: Filters of each layer of the tower.
        blocks: Residual blocks: 19, or 39 in the larger version.
        conv_bias: Whether convolutions have a bias.

    Returns:
        The graph: input "board" (size, size, planes); outputs "move", the probability
        of each point and of passing, for cross-entropy with the search's
        probabilities, and "value" (), for the squared error to the outcome.

    Example:
        >>> import capsjax as cj
        >>> net = cj.compile(cj.zoo.graph("alphago-zero"))
        >>> net.parameter_count, net.shapes["move"].output
        (22837864, (362,))

    Source: Silver et al., Mastering the game of Go without human knowledge, Nature 550
        (2017), methods.
    """
    bias: Bias = "channel" if conv_bias else None
    board = cj.input("board", (size, size, planes))
    conv = cj.conv(board, filters, (3, 3), padding="SAME")
    conv = cj.capsule("conv", conv, cap="standardize", bias=bias)
    tower = cj.capsule("norm", cj.channel_scale(conv), cap="relu")
    if blocks:
        tower = residual("block", tower, filters=filters, bias=bias, repeat=blocks)

    conv = cj.conv(tower, 2, (1, 1))
    conv = cj.capsule("policy-conv", conv, cap="standardize", bias=bias)
    norm = cj.capsule("policy-norm", cj.channel_scale(conv), cap="relu")
    flat = cj.capsule("policy-flat", cj.reshape(norm, (-1,)), bias=None)
    move = cj.capsule("move", cj.matmul(flat, size * size + 1), cap="softmax")

    conv = cj.conv(tower, 1, (1, 1))
    conv = cj.capsule("value-conv", conv, cap="standardize", bias=bias)
    norm = cj.capsule("value-norm", cj.channel_scale(conv), cap="relu")
    flat = cj.capsule("value-flat", cj.reshape(norm, (-1,)), bias=None)
    hidden = cj.capsule("value-hidden", cj.matmul(flat, 256), cap="relu")
    value = cj.capsule("value", cj.dot(hidden), cap="tanh", bias="full")

    losses = {"move": "cross_entropy", "value": "mean_squared_error"}
    return cj.graph(move, value, name="alphago-zero", losses=losses)
