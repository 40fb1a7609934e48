"""Pictures of what was learned: test error and alignment angle over epochs."""

import numpy as np
import pandas as pd

from capsjax.view.picture import Picture

COLORS = {
    "exact": "#1f2933",
    "feedback_alignment": "#0072b2",
    "direct_feedback_alignment": "#d55e00",
    "sign_symmetric": "#009e73",
    "kolen_pollack": "#cc79a7",
    "stop": "#999999",
    "local readouts": "#b8860b",
}
"""Of the rules that are drawn; those beside them would lie on exact's line."""

_GRID = "#e4e7eb"


def draw(table: pd.DataFrame, network: str) -> Picture:
    """Test error (logarithmic) and angle over epochs; a band from least to most."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.6, 3.4), layout="constrained", facecolor="white")
    left, right = figure.subplots(1, 2)
    for rule, of in table.groupby("rule", sort=False):
        if rule not in COLORS:
            continue
        error = 100 * (1 - _over_epochs(of, "accuracy"))
        _line(left, error, str(rule))
        cosine = _over_epochs(of, "cosine:hidden").clip(-1, 1)
        _line(right, cosine.map(lambda x: np.degrees(np.arccos(x))), str(rule))
    left.set(xlabel="epoch", ylabel="test error, %", yscale="log", title=network)
    lowest, highest = left.get_ylim()
    shown = [tick for tick in (1, 2, 5, 10, 20, 50, 100) if lowest < tick < highest]
    left.set_yticks(shown, map(str, shown))
    left.yaxis.minorticks_off()
    right.set(xlabel="epoch", ylabel="degrees to the exact gradient")
    right.set(ylim=(-3, 105), yticks=range(0, 91, 15), title="hidden capsules")
    for axes in (left, right):
        axes.grid(color=_GRID)
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = left.get_legend_handles_labels()
    words = [label.replace("_", " ") for label in labels]
    figure.legend(handles, words, loc="outside lower center", ncols=4, frameon=False)
    return Picture(figure)


def _over_epochs(of: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """Epochs down, seeds across."""
    chosen = of[of["quantity"] == quantity]
    return chosen.pivot(index="epoch", columns="seed", values="value")


def _line(axes, values: pd.DataFrame, rule: str) -> None:
    epochs, color = values.index, COLORS[rule]
    axes.plot(epochs, values.mean(axis=1), color=color, label=rule, linewidth=1.6)
    least, most = values.min(axis=1), values.max(axis=1)
    axes.fill_between(epochs, least, most, color=color, alpha=0.18, linewidth=0)
