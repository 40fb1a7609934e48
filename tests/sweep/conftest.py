"""Programs run for milliseconds in these tests: they are compiled fast, not well."""

import pytest

from capsjax.compiler import jit as compiler_jit

QUICK = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
}


@pytest.fixture(autouse=True, scope="module")
def quick_programs(request):
    """For all but the modules that compare bits with the options that users have."""
    with pytest.MonkeyPatch.context() as patch:
        if not getattr(request.module, "REAL_OPTIONS", False):
            patch.setattr(compiler_jit, "compiler_options", lambda: QUICK)
        yield
