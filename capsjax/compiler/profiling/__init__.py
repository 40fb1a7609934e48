"""Where a step's time goes: operations of a trace, and the capsules they are of."""

from capsjax.compiler.profiling.operations import Operation as Operation
from capsjax.compiler.profiling.operations import module_name as module_name
from capsjax.compiler.profiling.operations import operations as operations
from capsjax.compiler.profiling.scopes import scope as scope
