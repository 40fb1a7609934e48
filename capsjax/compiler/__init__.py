"""How a network is computed: passes, plan, forward and backward, Network."""

from capsjax.compiler.compile import compile as compile
from capsjax.compiler.explain import Explanation as Explanation
from capsjax.compiler.explain import explain as explain
from capsjax.compiler.inference import Frozen as Frozen
from capsjax.compiler.network import Network as Network
from capsjax.compiler.options import compiler_options as compiler_options
from capsjax.compiler.precision import Precision as Precision
