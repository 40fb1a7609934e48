"""capsjax: deep networks as graphs of capsules, compiled for JAX.

`Y = cap(sum of W (x) Y_in + B)`: a declared graph is compiled into one pure function
whose backward pass is universal backpropagation (Li & Shan, arXiv 1805.03551).
"""

from typing import TYPE_CHECKING, Any

from capsjax import backward as backward
from capsjax import caps as caps
from capsjax import losses as losses
from capsjax import neural as neural
from capsjax import weightings as weightings
from capsjax.backward import BackwardRule as BackwardRule
from capsjax.backward import register_backward as register_backward
from capsjax.caps import Cap as Cap
from capsjax.caps import register_cap as register_cap
from capsjax.caps.layers import register_layer as register_layer
from capsjax.compiler import Frozen as Frozen
from capsjax.compiler import Network as Network
from capsjax.compiler import Precision as Precision
from capsjax.compiler import compile as compile
from capsjax.compiler import compiler_options as compiler_options
from capsjax.compiler import explain as explain
from capsjax.compiler import passes as passes
from capsjax.compiler.allocation import keep_memory as keep_memory
from capsjax.compiler.cache import use_cache as use_cache
from capsjax.compiler.load_exported import ExportedNetwork as ExportedNetwork
from capsjax.compiler.load_exported import load_exported as load_exported
from capsjax.compiler.retraces import explain_retraces as explain_retraces
from capsjax.compiler.verify import CompilerError as CompilerError
from capsjax.graph import Graph as Graph
from capsjax.graph import GraphError as GraphError
from capsjax.graph import ShapeError as ShapeError
from capsjax.graph import block as block
from capsjax.graph import capsule as capsule
from capsjax.graph import content_hash as content_hash
from capsjax.graph import each as each
from capsjax.graph import edge as edge
from capsjax.graph import graph as graph
from capsjax.graph import input as input
from capsjax.graph import json_schema as json_schema
from capsjax.graph import learned as learned
from capsjax.graph import load as load
from capsjax.graph import save as save
from capsjax.graph import share as share
from capsjax.graph import with_backward as with_backward
from capsjax.graph import with_settings as with_settings
from capsjax.losses import Loss as Loss
from capsjax.losses import register_loss as register_loss
from capsjax.observe.diagnosis import Diagnosis as Diagnosis
from capsjax.observe.diagnosis import diagnose as diagnose
from capsjax.observe.profiled import profiled as profiled
from capsjax.observe.saliency import gradient_between as gradient_between
from capsjax.observe.saliency import integrated_gradients as integrated_gradients
from capsjax.observe.saliency import saliency as saliency
from capsjax.observe.trace import Tracer as Tracer
from capsjax.observe.trace import trace as trace
from capsjax.pretrained import from_keras as from_keras
from capsjax.pretrained import from_torch as from_torch
from capsjax.sweep import Ensemble as Ensemble
from capsjax.sweep import SweepResult as SweepResult
from capsjax.sweep import axes as axes
from capsjax.sweep import bayesian as bayesian
from capsjax.sweep import executors as executors
from capsjax.sweep import halving as halving
from capsjax.sweep import population as population
from capsjax.sweep.document import SweepDocument as SweepDocument
from capsjax.sweep.document import SweepError as SweepError
from capsjax.sweep.document import load_sweep as load_sweep
from capsjax.sweep.document import parse_sweep as parse_sweep
from capsjax.sweep.ensemble import ensemble as ensemble
from capsjax.sweep.space import sweep_members as sweep_members
from capsjax.sweep.sweep import sweep as sweep
from capsjax.training import augment as augment
from capsjax.training import schedules as schedules
from capsjax.training import writers as writers
from capsjax.training.checkpoints import Checkpoints as Checkpoints
from capsjax.training.configuration import RunConfiguration as RunConfiguration
from capsjax.training.configuration import (
    RunConfigurationError as RunConfigurationError,
)
from capsjax.training.configuration import (
    load_run_configuration as load_run_configuration,
)
from capsjax.training.configuration import (
    parse_run_configuration as parse_run_configuration,
)
from capsjax.training.data import load_data as load_data
from capsjax.training.early_stopping import EarlyStopping as EarlyStopping
from capsjax.training.evaluate import evaluate as evaluate
from capsjax.training.fit import fit as fit
from capsjax.training.guard import Fault as Fault
from capsjax.training.guard import NonFinite as NonFinite
from capsjax.training.judge import Judged as Judged
from capsjax.training.judge import judge as judge
from capsjax.training.load import load_run as load_run
from capsjax.training.run import Run as Run
from capsjax.training.saved import load_parameters as load_parameters
from capsjax.training.saved import load_state as load_state
from capsjax.training.saved import save_parameters as save_parameters
from capsjax.training.saved import save_state as save_state
from capsjax.training.signals import Interrupted as Interrupted
from capsjax.training.step import algorithm_1 as algorithm_1
from capsjax.weightings import Weighting as Weighting
from capsjax.weightings import channel_scale as channel_scale
from capsjax.weightings import conv as conv
from capsjax.weightings import conv_transpose as conv_transpose
from capsjax.weightings import cut as cut
from capsjax.weightings import depthwise_conv as depthwise_conv
from capsjax.weightings import dot as dot
from capsjax.weightings import embed as embed
from capsjax.weightings import flip as flip
from capsjax.weightings import identity as identity
from capsjax.weightings import matmul as matmul
from capsjax.weightings import place as place
from capsjax.weightings import register_weighting as register_weighting
from capsjax.weightings import reshape as reshape
from capsjax.weightings import scale as scale
from capsjax.weightings import transpose as transpose
from capsjax.weightings import upsample as upsample
from capsjax.weightings import vote as vote

# Last: the zoo declares its blocks as it is imported, with the functions above.
from capsjax import zoo as zoo  # isort: skip

# isort: split
# The zoo's networks are written with all that stands above.

if TYPE_CHECKING:
    from capsjax import view as view


def __getattr__(name: str) -> Any:
    """Imports `capsjax.view` when it is first asked for: pictures take a while."""
    if name == "view":
        import importlib

        return importlib.import_module("capsjax.view")
    raise AttributeError(f"module 'capsjax' has no attribute {name!r}")
