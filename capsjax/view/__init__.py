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
    cj.view.learning(tracer, net)   the same in the graph, with a slider over steps
    cj.view.histograms(tracer)      sizes of entries, a row a capsule
    cj.view.signals(net.deltas(..)) sizes of error signals or activations, a table
    cj.view.response(result)        a sweep's metric over the values of its axes
    cj.view.parallel(result)        each member of a sweep, across all axes
    cj.view.heat_map(result, x, y)  a sweep's metric over two axes
    cj.view.sweep_curves(result)    learning curves of a sweep, spread over seeds
    cj.view.reconstructions(...)    images, and what a decoder makes of them
    cj.view.perturbations(...)      the same where one dimension of a vector is changed
    cj.view.draw_network(net)       a small network of neurons
    cj.view.draw_networks(nets)     many side by side
    cj.view.figure(6)               what Figures 3 to 8 of the paper illustrate

Every function that draws returns a `Picture`: `.axes` are the matplotlib axes it drew,
in reading order, and `.figure` is their figure, to change or to take further. It shows
itself in a notebook and is saved by `.save("picture.svg")`, `.png` or `.pdf`. Every
plot takes `ax=`, axes of a figure of yours: it draws into them or, where it has several
panels, in their place; that figure then shows itself. A picture of a graph or of
neurons is a `Drawing`: it has its own measure, and is saved as `.tex`, too.

Pictures are made without a display and without matplotlib's global state. On a dark
page an SVG shows itself in colors for dark pages. Results (`Run`, `SweepResult`,
`Judged`, `Diagnosis`, `Derivation`, ...) show themselves in notebooks by what is here.
"""

from capsjax.view.compared import compared_curves
from capsjax.view.curves import learning_curves
from capsjax.view.decoded import perturbations, reconstructions
from capsjax.view.diagnosis import diagnosis
from capsjax.view.displays import signals
from capsjax.view.drawing import draw
from capsjax.view.histograms import histograms
from capsjax.view.learning import Learning, learning
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
    "Learning",
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
    "histograms",
    "learning",
    "learning_curves",
    "memory",
    "parallel",
    "perturbations",
    "reconstructions",
    "report",
    "response",
    "signals",
    "summary",
    "sweep_curves",
    "trace",
]
