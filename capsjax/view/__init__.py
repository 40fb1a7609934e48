"""What a person looks at: tables, drawings and curves. No logic imports this package.

    cj.view.summary(graph)          a table for the terminal or the notebook
    cj.view.draw(graph)             a drawing in the manner of the paper
    cj.view.learning_curves(table)  loss and metrics over epochs

Pictures are made without a display and without matplotlib's global state; they show
themselves in notebooks and are saved by `.save("picture.svg")` or `.png`.
"""

from capsjax.view.curves import learning_curves
from capsjax.view.drawing import draw
from capsjax.view.picture import Picture
from capsjax.view.table import summary

__all__ = ["Picture", "draw", "learning_curves", "summary"]
