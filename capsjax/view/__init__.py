"""What a person looks at: tables, drawings and curves. No logic imports this package.

    cj.view.summary(graph)          a table for the terminal or the notebook
    cj.view.draw(graph)             a drawing in the manner of the paper
    cj.view.explore(graph)          the same in a notebook, to walk through
    cj.view.learning_curves(table)  loss and metrics over epochs
    cj.view.report(run, data)       all of a run as one HTML page
    cj.view.compared_curves(tables) the same metrics of several runs
    cj.view.memory(net, 128)        what a memory budget costs
    cj.view.diagnosis(found)        outputs and error signals over depth
    cj.view.trace(tracer.table)     signals, weights and gradients over a run
    cj.view.response(result)        a sweep's metric over the values of its axes
    cj.view.parallel(result)        each member of a sweep, across all axes
    cj.view.heat_map(result, x, y)  a sweep's metric over two axes
    cj.view.sweep_curves(result)    learning curves of a sweep, spread over seeds
    cj.view.reconstructions(...)    images, and what a decoder makes of them
    cj.view.perturbations(...)      the same where one dimension of a vector is changed
    cj.view.draw_network(net)       a small network of neurons
    cj.view.draw_networks(nets)     many side by side
    cj.view.figure(6)               what Figures 3 to 8 of the paper illustrate

Pictures are made without a display and without matplotlib's global state; they show
themselves in notebooks and are saved by `.save("picture.svg")` or `.png`; drawings of
graphs as `.pdf` and `.tex`, too.
"""

from capsjax.view.compared import compared_curves
from capsjax.view.curves import learning_curves
from capsjax.view.decoded import perturbations, reconstructions
from capsjax.view.diagnosis import diagnosis
from capsjax.view.drawing import draw
from capsjax.view.memory import memory
from capsjax.view.neural import draw_network, draw_networks
from capsjax.view.neural_figures import figure
from capsjax.view.painting import Drawing
from capsjax.view.picture import Picture
from capsjax.view.report import Report, report
from capsjax.view.sweep import heat_map, parallel, response, sweep_curves
from capsjax.view.table import summary
from capsjax.view.trace import trace
from capsjax.view.widget import explore

__all__ = [
    "Drawing",
    "Picture",
    "Report",
    "compared_curves",
    "diagnosis",
    "draw",
    "draw_network",
    "draw_networks",
    "explore",
    "figure",
    "heat_map",
    "learning_curves",
    "memory",
    "parallel",
    "perturbations",
    "reconstructions",
    "report",
    "response",
    "summary",
    "sweep_curves",
    "trace",
]
