"""compile: from a declaration to a Network.

Graph --check, infer--> typed graph --passes--> typed graph --plan--> Program
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, overload, runtime_checkable

from capsjax.backward import BackwardRule
from capsjax.compiler.inference import Frozen, frozen_of
from capsjax.compiler.network import Network, TracedForms
from capsjax.compiler.passes import PIPELINE, Pass, run_passes
from capsjax.compiler.plan import plan
from capsjax.compiler.precision import Precision
from capsjax.compiler.program import Program
from capsjax.compiler.recomputation import BudgetedProgram
from capsjax.compiler.residuals import parse_bytes
from capsjax.compiler.tuning import tuned_stage
from capsjax.compiler.verify import verify_rules
from capsjax.compiler.verify_passes import require_losses
from capsjax.graph.assignment import apply_rules, without_rules
from capsjax.graph.backward import declared_rules, given_rules
from capsjax.graph.checks import check as check_graph
from capsjax.graph.declaration import Graph
from capsjax.graph.errors import GraphError
from capsjax.graph.traced import Names, mark
from capsjax.graph.typed import TypedGraph

Rule = BackwardRule | str
Backward = Rule | Mapping[Any, Rule]


@runtime_checkable
class Typable(Protocol):
    """A declaration of another form than a graph: it knows its typed graph itself."""

    def typed(self) -> TypedGraph:
        """The declaration with every shape known."""
        ...


@overload
def compile(
    graph: Graph | Typable,
    *,
    backward: Backward | None = None,
    precision: Precision | None = None,
    passes: Sequence[Pass] = PIPELINE,
    memory_budget: int | str | None = None,
    tune: Mapping[str, Any] | None = None,
    traced: Names = (),
    check: bool = True,
) -> Network: ...


@overload
def compile(
    graph: Graph | Typable,
    *,
    mode: Literal["inference"],
    params: Any,
    state: Any = None,
    precision: Precision | None = None,
    passes: Sequence[Pass] = PIPELINE,
    check: bool = True,
) -> Frozen: ...


def compile(
    graph: Graph | Typable,
    *,
    backward: Backward | None = None,
    mode: Literal["inference"] | None = None,
    params: Any = None,
    state: Any = None,
    precision: Precision | None = None,
    passes: Sequence[Pass] = PIPELINE,
    memory_budget: int | str | None = None,
    tune: Mapping[str, Any] | None = None,
    traced: Names = (),
    check: bool = True,
) -> Network | Frozen:
    """Compiles a declared graph into pure functions.

    Nothing is allocated and nothing is run; the functions are traced and compiled by
    JAX when they are called under `jax.jit`.

    Args:
        graph: The declaration, from `cj.graph`, `cj.load` or `cj.zoo.graph`; or a
            neural network, or a model of one (`cj.neural`).
        backward: How error signals travel. Left out, as the graph declares it: exactly,
            by the paper's universal backpropagation, where it declares no rules. Else a
            backward rule for the whole graph, by name or as a record (`cj.backward`);
            or rules by capsule, by `(source, capsule)` and, for all others, by "*".
            They go before declared ones in the places where they act; "exact" acts
            everywhere. Or "autodiff": the interpreter with JAX's own derivatives,
            whatever is declared, which is slower and also allows forward mode
            (`jax.jvp`, `jax.jacfwd`, `jax.linearize`).
        mode: "inference" for a program with these parameters inside, transformed for
            inference alone (see `Frozen`). Left out, a network.
        params: For inference: the parameters, as `init` of the network of this graph
            makes them and training changes them, or by name, as `net.named` gives them.
        state: For inference: the state that goes with them, if there is one; or by
            name, as `net.named_state` gives it.
        precision: In which types parameters are kept, computed with and given out,
            such as `cj.Precision("bfloat16")`. Left out, all is in the type to which
            JAX promotes the parameters and inputs that are given.
        passes: What rewrites the graph before it is lowered, in this order: fewer
            passes, or also your own (`cj.passes.Pass`).
        memory_budget: The most bytes that the backward pass may hold of the forward
            pass at any time: a number, or text such as "2GiB". What does not fit is
            computed again, chosen for the least time when the program is traced, for
            its batch size and type; `net.memory(batch_size)` shows the choice. Left
            out, nothing is computed again. Parameters, inputs, gradients and what one
            capsule takes while it runs come on top.
        tune: Inputs by name, arrays or `jax.ShapeDtypeStruct`s of shape [B, *declared
            shape]: where an operation has several algorithms, they are timed on this
            machine for such a batch, and the quickest is taken. Else, and for what
            can't be timed, a rule of costs decides. What was found is kept among the
            user's caches, in the folder of `cj.use_cache`.
        traced: Names of settings that are given when the network's methods are called,
            `settings={"drop.rate": 0.2}`, and may differ among members of a `vmap`;
            others are part of the program. Any setting that is a real number may be:
            `"drop.rate"` of the capsule function of `drop`, `"digit.loss.weight"`,
            `"h.backward.deviation"` of a backward rule, `"h.from.x.backward.norm"` of
            one on an edge. Or, under a name of your own, several that are given as
            one: `{"rate": ["drop1.rate", "drop2.rate"]}`. They are not differentiated
            by.
        check: Verify the compiler's invariants after each pass, and each kind's shape
            rule against its forward.

    Returns:
        The network, or the inference program.

    Raises:
        GraphError: A kind's shape rule and its forward disagree; a backward rule is
            unknown or does not fit; there is no such setting to trace; says where.
        CompilerError: A pass broke an invariant of the typed graph.
        TypeError: What is given is no graph; a pass is none.
        ValueError: Unknown mode; parameters or state that do not fit, or
            are missing; precision that is none; a loss that can't be
            computed without a pass that is left out; a memory budget that is no number
            of bytes, or has no backward pass of ours to bound.

    Example:
        >>> import capsjax as cj, jax
        >>> image = cj.input("image", (64,))
        >>> digit = cj.capsule("digit", cj.matmul(image, 10), cap="softmax")
        >>> net = cj.compile(cj.graph(digit, losses={"digit": "cross_entropy"}))
        >>> net
        Network('network', 1 capsules, 650 parameters)
        >>> params, state = net.init(jax.random.key(0))
        >>> images = jax.numpy.ones((2, 64))
        >>> outputs, state = net.apply(params, state, {"image": images})
        >>> outputs["digit"].shape
        (2, 10)
        >>> frozen = cj.compile(net.graph, mode="inference", params=params)
        >>> frozen({"image": images})["digit"].shape
        (2, 10)
        >>> net = cj.compile(net.graph, traced=["digit.loss.weight"])
        >>> batch = {"image": images, "digit": jax.numpy.arange(2)}
        >>> loss, _ = net.loss(params, state, batch)
        >>> given = {"digit.loss.weight": 0.5}
        >>> half, _ = net.loss(params, state, batch, settings=given)
        >>> float(loss / half)
        2.0

    Source: Li & Shan, arXiv 1805.03551, section 4.
    """
    if not isinstance(graph, Graph | Typable):
        given: Any = graph
        raise TypeError(
            f"cj.compile takes a Graph, not {type(given).__name__}; make one with "
            "cj.graph(outputs...), cj.load(path) or cj.zoo.graph(name)"
        )
    if not isinstance(precision, Precision | None):
        raise ValueError(
            f"precision {precision!r}; expected cj.Precision(...), such as "
            'cj.Precision("bfloat16")'
        )
    _check_mode(mode, backward, params, state)
    if isinstance(traced, str):
        raise ValueError(
            f"found traced={traced!r}; expected names, such as [{traced!r}]"
        )
    if traced and mode is not None:
        raise ValueError(
            f"traced settings are given at every call; found mode={mode!r}, whose "
            "program holds them; declare the numbers that it shall have"
        )
    if tune is not None and (mode is not None or backward == "autodiff"):
        raise ValueError(
            "tune chooses algorithms of forward and backward; expected it without "
            "mode and without backward='autodiff'"
        )
    if isinstance(graph, Graph):
        typed, problems = check_graph(graph)
        if problems:
            raise GraphError(graph.name, problems)
    else:
        typed = graph.typed()
    if backward is not None:
        typed = _with_rules(graph, typed, backward)
    if check:
        verify_rules(typed)
    declared, problems = mark(typed, traced) if traced else (typed, [])
    if problems:
        raise GraphError(typed.graph.name, problems)
    stages = run_passes(declared, passes, observable=False, check=check)
    if tune is not None:
        stages.append(tuned_stage(stages[-1].typed, tune, precision))
    last = stages[-1].typed
    require_losses(last)
    program = Program(last, plan(last))
    if memory_budget is not None:
        budget = parse_bytes(memory_budget)
        if backward == "autodiff":
            raise ValueError(
                'memory_budget needs a backward pass of ours; found "autodiff", where '
                "JAX chooses what is kept"
            )
        if mode is not None:
            raise ValueError(
                "memory_budget bounds what the backward pass holds; found "
                f"mode={mode!r}, which has none; leave the budget out"
            )
        program = BudgetedProgram(last, program.plan, budget)
    net = Network(
        typed.graph,
        typed,
        tuple(stages),
        program.bound({}),
        backward,
        precision,
        tuple(passes),
        TracedForms(declared, program) if traced else None,
    )
    return net if mode is None else frozen_of(net, params, state, check)


def _with_rules(
    graph: Graph | Typable, typed: TypedGraph, backward: Backward
) -> TypedGraph:
    """The graph with the rules given in place of declared ones where they act."""
    exact = without_rules(typed)
    if backward == "autodiff":
        return exact
    given, problems = given_rules(typed, backward)
    layers = [given]
    if isinstance(graph, Graph):
        layers.append(declared_rules(graph, typed))
    typed, unfit = apply_rules(exact, layers)
    if problems + unfit:
        raise GraphError(typed.graph.name, problems + unfit)
    return typed


def _check_mode(mode: Any, backward: Any, params: Any, state: Any) -> None:
    if mode not in (None, "inference"):
        raise ValueError(f"mode {mode!r} is unknown; expected 'inference', or none")
    if mode is None and not (params is None and state is None):
        raise ValueError(
            "found params or state without a mode; expected them for "
            'mode="inference"; a network is given them when it is called'
        )
    if mode is not None and params is None:
        raise ValueError(
            'mode="inference" needs trained parameters, which become part of the '
            'program; cure: cj.compile(graph, mode="inference", params=params, '
            "state=state)"
        )
    if mode is not None and backward is not None:
        raise ValueError(
            f'backward {backward!r} with mode="inference"; expected no backward: there '
            "are no parameters to differentiate by"
        )
