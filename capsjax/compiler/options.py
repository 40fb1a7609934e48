"""Options of XLA's compiler with which training steps run fastest.

XLA on CPU hands reductions, products and convolutions to a library (YNNPACK, "ynn") by
default. For convolutions that may cost more than it gains: the library's stand in the
place of XLA's own routine. Training steps on 2 cores, float32, jaxlib 0.10.2, as ratios
of the time without options (`python -m bench.options`), medians of several runs with
other processes stopped, where not said otherwise; "-" was not measured:

| network, batch             | nothing | products   | reductions, products |
|----------------------------|---------|------------|----------------------|
| MLP 784-512-512-10, 128    | 1.14    | 1.00       | 1.00                 |
| LeNet-5, 128               | 0.79    | 0.83 (a)   | 0.79                 |
| CapsNet with decoder, 16   | -       | 1.00 (b)   | 1.00                 |
| ResNet-18, 32              | -       | -          | 1.05, 0.91 (c)       |
| DenseNet-BC-40-12, 16      | 1.11    | 1.84 (b)   | 0.89, 0.89           |
| 4 inception blocks, 8      | -       | 1.30       | 1.01, 1.01           |
| 2 transformer blocks, 16   | 0.93    | 0.84, 1.05 | 0.99, 1.00, 1.02     |
| 64 products in a scan, 128 | 1.13    | 1.00, 1.03 | 0.99, 1.01           |

(a) others were running, little; (b) others were running; (c) two runs of few rounds,
quartiles 0.85 to 1.15 and 0.83 to 1.09: the same program twice spans 0.89 to 1.16, so
nothing can be told.

The last column is taken: it wins for LeNet-5 and DenseNet, elsewhere no difference
stands out from the noise. On a machine whose cores were busy with other work, though,
it gave DenseNet 1.32 (1.21 to 1.75) in one run, and LeNet-5 0.96 to 0.98: the gain is
that of a machine of one's own. What else was tried once changes nothing that stands out
(wider vectors, other schedulers, XNNPACK, presets), costs 1.25 to 2.6 (elementwise
operations by the library) or breaks (oneDNN: illegal instruction in a transformer).
"""

import functools

import jax
import jax.numpy as jnp

_OPTION = "xla_cpu_experimental_ynn_fusion_type"
_KINDS = "LIBRARY_FUSION_TYPE_REDUCE,LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"


def compiler_options() -> dict[str, bool | int | str]:
    """Options of XLA with which programs of networks run fastest on this platform.

    They change no result beyond the order of sums. `cj.fit` uses them; for a step of
    your own they go to the outermost `jax.jit`.

    Returns:
        What `jax.jit(step, compiler_options=...)` takes; empty where there is nothing
        to gain: on other platforms than CPU, or if XLA knows no such option.

    Example:
        >>> import capsjax as cj, jax
        >>> x = cj.input("x", (4,))
        >>> net = cj.compile(cj.graph(cj.capsule("y", cj.matmul(x, 3))))
        >>> params, state = net.init(jax.random.key(0))
        >>> apply = jax.jit(net.apply, compiler_options=cj.compiler_options())
        >>> outputs, _ = apply(params, state, {"x": jax.numpy.ones((2, 4))})
        >>> outputs["y"].shape
        (2, 3)
    """
    if jax.default_backend() != "cpu" or not _is_known():
        return {}
    return {_OPTION: _KINDS}


@functools.cache
def _is_known() -> bool:
    """Whether this version of XLA knows the option, which is experimental."""
    program = jax.jit(lambda: jnp.zeros(()), compiler_options={_OPTION: _KINDS})
    try:
        program.lower().compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True
