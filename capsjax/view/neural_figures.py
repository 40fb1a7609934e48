"""figure: what the figures of the paper's second section illustrate."""

from collections.abc import Callable

from capsjax.neural import convergence, enumerate_growth, growth, neuron, variable
from capsjax.view.neural import Panel, arrange, cell, numbered
from capsjax.view.painting import Drawing


def figure(number: int) -> Drawing:
    """Draws what a figure of the paper's second section illustrates.

    The drawings are made from the rules, not after the paper's pictures:

        3   the rules of variable, neuron, growth and convergence, before and after
        4   the one network of 1 input and 1 neuron
        5   the 3 networks of 1 input and 2 neurons, by growth
        6   the 21 networks of 1 input and 3 neurons, by growth
        7   the 7 networks of 2 inputs and 2 neurons, by growth
        8   a convergence of 3 networks: a variable, a neuron of two inputs, and a
            network that has grown

    Args:
        number: 3 to 8.

    Returns:
        The picture: shows itself in a notebook; has `.svg`, `.png` and `.save(path)`.

    Raises:
        ValueError: Another number.

    Example:
        >>> figure(4)
        <drawing of 4.5 x 1.5 inches>

    Source: Li & Shan, arXiv 1805.03551, section 2, Figures 3 to 8.
    """
    if number not in _FIGURES:
        raise ValueError(f"figure: found number {number!r}; expected 3 to 8")
    what, panels = _FIGURES[number]
    return arrange(panels(), f"Figure {number}: {what}")


def _grown(inputs: int, neurons: int) -> Callable[[], list[Panel]]:
    return lambda: numbered(enumerate_growth(inputs, neurons))


def _rules() -> list[Panel]:
    variables = variable("x1"), variable("x2")
    one = neuron("h1", ["x1", "x2"])
    other = neuron("h2", ["x3"])
    return [
        Panel("variable: one input", (), cell(variable("z"))),
        Panel(
            "neuron: h reads all inputs",
            tuple(map(cell, variables)),
            cell(neuron("h", ["x1", "x2"])),
        ),
        Panel(
            "growth: h reads one node or more",
            (cell(one),),
            cell(growth(one, "h", ["x2", "h1"])),
        ),
        Panel(
            "convergence: h reads one node or more of each",
            (cell(one), cell(other)),
            cell(convergence([one, other], "h", [["h1"], ["x3", "h2"]])),
        ),
    ]


def _converged() -> list[Panel]:
    pair = neuron("h1", ["x2", "x3"])
    grown = growth(growth(variable("x4"), "h2", ["x4"]), "h3", ["x4", "h2"])
    nets = [variable("x1"), pair, grown]
    after = convergence(nets, "h", [["x1"], ["h1"], ["h2", "h3"]])
    caption = "h reads one node or more of each"
    return [Panel(caption, tuple(map(cell, nets)), cell(after))]


_FIGURES: dict[int, tuple[str, Callable[[], list[Panel]]]] = {
    3: ("the four rules", _rules),
    4: ("the network of 1 input and 1 neuron", _grown(1, 1)),
    5: ("the 3 networks of 1 input and 2 neurons", _grown(1, 2)),
    6: ("the 21 networks of 1 input and 3 neurons", _grown(1, 3)),
    7: ("the 7 networks of 2 inputs and 2 neurons", _grown(2, 2)),
    8: ("convergence of 3 networks", _converged),
}
