"""Network: what a compiled graph can do. All methods are pure."""

import dataclasses
import functools
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

from capsjax.compiler import interpreter, parameters
from capsjax.compiler.batch import take_batch, take_inputs
from capsjax.compiler.derivative import CompiledRun, Run, interpreted, with_hint
from capsjax.compiler.example_weights import shares
from capsjax.compiler.mode import Mode
from capsjax.compiler.only import Only
from capsjax.compiler.passes import PIPELINE, Pass, Stage, run_passes
from capsjax.compiler.plan import plan
from capsjax.compiler.precision import Precision, cast, common
from capsjax.compiler.program import Program
from capsjax.compiler.state import (
    check_state,
    compiled_state,
    initial_state,
    named_state_shapes,
    state_by_name,
    state_shapes,
    with_wiring,
)
from capsjax.displayed import Displayed
from capsjax.graph.errors import brief, listing, nearest
from capsjax.graph.kinds import Shape
from capsjax.graph.traced import bind
from capsjax.graph.typed import TypedGraph, TypedGroup

if TYPE_CHECKING:
    from capsjax.compiler.ahead import Function
    from capsjax.compiler.bound import BoundNetwork
    from capsjax.compiler.memory import Memory
    from capsjax.compiler.profiling.profile import Profile

Params = dict[str, Any]
State = dict[str, Any]
Arrays = dict[str, jax.Array]


Settings = Mapping[str, Any]


class TracedForms(NamedTuple):
    """The forms of a network in which `Traced` stands for settings.

    Attributes:
        typed: The declaration with its shapes.
        program: The lowered program.
    """

    typed: TypedGraph
    program: Program


class CapsuleShapes(NamedTuple):
    """Shapes of a capsule's tensors, per example."""

    total_input: Shape
    output: Shape


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Network(Displayed):
    """A compiled graph: pure functions of parameters, state and arrays by name.

    Made by `cj.compile`. Every method is safe under `jit`, `vmap`, `grad` and
    sharding. `state` holds what a network needs beside its parameters: by capsule, what
    capsule functions carry from step to step (running statistics); and the wiring of
    neurons (integers; under `vmap` over members leave them unbatched, `in_axes=None`).
    It is never differentiated. With neither, it is an empty pytree.

    Under `jit` with sharded arrays, batch statistics are those of the whole batch, as
    every other array is; under `jax.shard_map`, those of each shard.

    Attributes:
        graph: The declaration: a `Graph`, or the model of a neural network.
        typed: The declaration with its shapes.
        stages: What each pass of the compiler made of it.
        program: The lowered program.
        backward: What was given to `cj.compile`: "autodiff", rules, or None.
        precision: The types of parameters, of the program and of outputs, if declared.
        passes: The passes that made the program.
        traced: The graph and the program in which settings are traced, if some are.
    """

    graph: Any
    typed: TypedGraph
    stages: tuple[Stage, ...]
    program: Program
    backward: Any
    precision: Precision | None = None
    passes: tuple[Pass, ...] = PIPELINE
    traced: TracedForms | None = None

    def init(self, key: jax.Array, *, scale: Any = 1.0) -> tuple[Params, State]:
        """Draws the parameters.

        A weight depends on the key and on its name alone, not on its position in the
        graph. Biases are zero. The type is the policy's, or JAX's default float.

        Args:
            key: A random key, `jax.random.key(seed)`.
            scale: Factor of the deviation with which weights are drawn: of the gain
                that the capsule function calls for. What is not drawn, such as scales
                that begin as one, and parameters of a capsule function's own stay as
                they are.

        Returns:
            `(params, state)`: the parameters, a pytree, and the initial state.
        """
        policy = self.precision
        dtype = jnp.result_type(policy.parameters if policy else float)
        wide = jnp.promote_types(dtype, jnp.float32)
        state = initial_state(self._used, key, wide, scale)
        state = with_wiring(state, self.program.wiring())
        return parameters.initial_parameters(self._used, key, dtype, scale), state

    def apply(
        self,
        params: Params,
        state: State,
        inputs: Mapping[str, Any],
        *,
        train: bool = False,
        key: jax.Array | None = None,
        settings: Settings | None = None,
    ) -> tuple[Arrays, State]:
        """Evaluates the network.

        Args:
            params: Parameters.
            state: State.
            inputs: Arrays by input name, shape [B, *declared shape], floating point.
            train: Whether capsule functions that differ in training do so.
            key: Random key for capsule functions that draw.
            settings: Traced settings by name; those left out are as declared.

        Returns:
            `(outputs, state)`: Y by output name, shape [B, *output shape]; and the
            new state in training, the given one in inference.

        Raises:
            ValueError: Inputs, parameters or state do not fit, says which, by name; or
                capsules draw in training and there is no key.
        """
        mode = self._mode(train, key, settings)
        self._check(params, state)
        params, arrays = self._cast(params, take_inputs(self._used, inputs))
        _, outputs, state = self._run(params, state, arrays, None, mode)
        return self._given_out(outputs), state

    def loss(
        self,
        params: Params,
        state: State,
        batch: Mapping[str, Any],
        *,
        train: bool = True,
        key: jax.Array | None = None,
        settings: Settings | None = None,
        weights: Any = None,
    ) -> tuple[jax.Array, tuple[Arrays, State]]:
        """The total loss: sum over outputs of weight * mean over the batch of L.

        With weights w of the examples, the mean is sum of w_i L_i / sum of w. Examples
        of weight 0, such as those that fill up a batch, contribute no gradient, as
        long as what is computed for them is finite: fill up with copies of others.
        If all weights are 0, so are the loss and its gradient. Batch statistics are
        those of all examples, whatever their weights.

        Args:
            params: Parameters.
            state: State.
            batch: Inputs by input name and targets by output name. A target has the
                shape of its output; for losses over classes it may be integers of
                that shape without the last axis.
            train: Whether capsule functions that differ in training do so.
            key: Random key for capsule functions that draw.
            settings: Traced settings by name; those left out are as declared.
            weights: What each example counts for, shape [B], not negative; left out,
                all count alike.

        Returns:
            `(loss, (outputs, state))`, as `jax.value_and_grad(net.loss,
            has_aux=True)` takes it.

        Raises:
            ValueError: The batch, its weights, the parameters or the state do not fit,
                says which, by name; the graph declares no loss; or capsules draw in
                training and there is no key.

        Example:
            >>> import capsjax as cj
            >>> x = cj.input("x", (1,))
            >>> y = cj.capsule("y", cj.identity(x), bias=None)
            >>> net = cj.compile(cj.graph(y, losses={"y": "mean_squared_error"}))
            >>> batch = {"x": jnp.array([[1.0], [2.0]]), "y": jnp.zeros((2, 1))}
            >>> float(net.loss({}, {}, batch)[0])
            2.5
            >>> float(net.loss({}, {}, batch, weights=jnp.array([3.0, 1.0]))[0])
            1.75
        """
        mode = self._mode(train, key, settings)
        self._check(params, state)
        inputs, targets = take_batch(self._used, batch)
        mode = self._weighted(mode, weights, inputs)
        params, inputs = self._cast(params, inputs)
        loss, outputs, state = self._run(params, state, inputs, targets, mode)
        return loss, (self._given_out(outputs), state)

    def examples(
        self,
        params: Params,
        state: State,
        batch: Mapping[str, Any],
        *,
        settings: Settings | None = None,
    ) -> tuple[Arrays, Arrays]:
        """The loss of each example in inference: no derivative of its own.

        Args:
            params: Parameters.
            state: State.
            batch: Inputs and targets by name, as for `loss`.
            settings: Traced settings by name; those left out are as declared.

        Returns:
            `(losses, outputs)`: by output name, L of each example without the loss's
            weight, shape [B]; and Y, shape [B, *output shape].

        Raises:
            ValueError: As for `loss`.
        """
        self._check(params, state)
        inputs, targets = take_batch(self._used, batch)
        params, inputs = self._cast(params, inputs)
        program = self._traced_program.bound(self._mode(False, None, settings).settings)
        total, output, *_ = program.evaluate(params, state, inputs)
        outputs = {name: output[name] for name in self._used.outputs}
        losses = program.losses(total, output, targets)
        return losses, self._given_out(outputs)

    def deltas(
        self,
        params: Params,
        state: State,
        batch: Mapping[str, Any],
        *,
        train: bool = True,
        key: jax.Array | None = None,
        only: Iterable[str] | None = None,
        settings: Settings | None = None,
        weights: Any = None,
    ) -> Arrays:
        """The error signals `delta_H = dL/dU_H` of every capsule, by name.

        They are those that train the network: where backward rules act, what these
        make of them.

        L is the total loss, a mean over the batch: the signal of one example is 1/B
        of what the example alone would give; with weights, its share of their sum.

        Args:
            params: Parameters.
            state: State.
            batch: Inputs and targets by name, as for `loss`.
            train: Whether capsule functions that differ in training do so.
            key: Random key for capsule functions that draw.
            settings: Traced settings by name; those left out are as declared.
            weights: What each example counts for, as for `loss`.
            only: Names of capsules: what the others alone need is not computed.

        Returns:
            For every capsule, also those that the compiler drops, or for those that
            are asked for, an array of shape [B, *shape of U].

        Raises:
            ValueError: As for `loss`; or a capsule that is asked for is unknown.

        Source: Li & Shan, arXiv 1805.03551, equations 4 and 5.
        """
        if only is not None:
            given = params, state, batch, train, key, settings
            return self._only("deltas", only, *given, weights=weights)
        mode = self._mode(train, key, settings)
        self._check(params, state)
        inputs, targets = take_batch(self._used, batch)
        mode = self._weighted(mode, weights, inputs)
        params, inputs = self._cast(params, inputs)
        if self.backward == "autodiff":
            named = parameters.by_name(self._used, params)
            state = state_by_name(self._used, state)
            typed = bind(self._traced_typed, mode.settings)
            found = interpreter.deltas(typed, named, state, inputs, targets, mode)
        else:
            program = self._observed.bound(mode.settings)
            params, state = self._observed_layout(params, state)
            _, residuals = program.forward(params, state, inputs, targets, mode)
            given = frozenset(inputs)
            _, _, found = program.backward(
                residuals, jnp.ones(()), {}, given, mode, observe=True
            )
            for run in program.runs.values():
                found |= run.split(found.pop(run.run.name, {}))
            for group in program.typed.groups:
                if group.name in found:
                    rows = found.pop(group.name)
                    tables = program.tables(group, state)
                    members = program.groups[group.name]
                    found |= by_name(group, members.members(tables, rows, "signals"))
        size = next(iter(inputs.values())).shape[0]
        dtype = jnp.result_type(*found.values())
        return {
            name: found[name]
            if name in found
            else jnp.zeros((size, *shapes.total_input), dtype)
            for name, shapes in self.shapes.items()
        }

    def activations(
        self,
        params: Params,
        state: State,
        inputs: Mapping[str, Any],
        *,
        train: bool = False,
        key: jax.Array | None = None,
        only: Iterable[str] | None = None,
        settings: Settings | None = None,
    ) -> dict[str, dict[str, jax.Array]]:
        """Total input and output of every capsule that an output needs.

        Args:
            params: Parameters.
            state: State.
            inputs: Arrays by input name, as for `apply`.
            train: Whether capsule functions that differ in training do so.
            key: Random key for capsule functions that draw.
            settings: Traced settings by name; those left out are as declared.
            only: Names of capsules: what the others alone need is not computed.

        Returns:
            `{capsule: {"U": array, "Y": array}}`, batch axis first.

        Raises:
            ValueError: As for `apply`; or a capsule that is asked for is unknown, or
                needed by no output.
        """
        if only is not None:
            given = params, state, inputs, train, key, settings
            return self._only("activations", only, *given)
        mode = self._mode(train, key, settings)
        self._check(params, state)
        params, arrays = self._cast(params, take_inputs(self._used, inputs))
        if self.backward == "autodiff":
            named = parameters.by_name(self._used, params)
            state = state_by_name(self._used, state)
            typed = bind(self._traced_typed, mode.settings)
            found = interpreter.evaluate(typed, named, state, arrays, mode)
            total, output = found.total, found.output
        else:
            program = self._observed.bound(mode.settings)
            params, state = self._observed_layout(params, state)
            total, output, *_ = program.evaluate(params, state, arrays, mode, "all")
            for run in program.runs.values():
                for table in (total, output):
                    table |= run.split(table.pop(run.run.name))
            for group in program.typed.groups:
                members = program.groups[group.name].members
                tables = program.tables(group, state)
                for table in (total, output):
                    rows = table.pop(group.name)
                    table |= by_name(group, members(tables, rows, "members"))
        return {name: {"U": u, "Y": output[name]} for name, u in total.items()}

    def named(self, params: Params) -> dict[str, Any]:
        """The parameters by name, whatever the compiled layout.

        Args:
            params: Parameters in compiled layout.

        Returns:
            `{capsule: {"B": array, "W": {source: array}}}`; a second edge from the
            same source is called `source#2`.

        Raises:
            ValueError: The parameters do not fit the network.
        """
        expected = parameters.parameter_shapes(self._used)
        parameters.check_parameters(self._used, params, expected)
        return parameters.by_name(self._used, params)

    def from_named(self, named: Mapping[str, Any]) -> Params:
        """Parameters in compiled layout from parameters by name.

        Args:
            named: What `named` returns; arrays of any kind.

        Returns:
            Parameters for this network.

        Raises:
            ValueError: All that is missing, unknown or of another shape, by name.
        """
        expected = parameters.named_shapes(self._used)
        parameters.check_parameters(self._used, named, expected)
        given = {name: jnp.asarray(each) for name, each in parameters.flatten(named)}
        return parameters.compiled(self._used, given)

    def named_state(self, state: State) -> dict[str, Any]:
        """The state by name, whatever the compiled layout.

        Args:
            state: State in compiled layout.

        Returns:
            `{capsule: {name: array}}`, such as "mean" and "variance"; and the wiring of
            neurons, as it is.

        Raises:
            ValueError: The state does not fit the network.
        """
        self._check_state(state)
        return state_by_name(self._used, state)

    def state_from_named(self, named: Mapping[str, Any]) -> State:
        """State in compiled layout from state by name.

        Args:
            named: What `named_state` returns; arrays of any kind.

        Returns:
            State for this network.

        Raises:
            ValueError: All that is missing or of another shape, by name.
        """
        expected = named_state_shapes(self._used)
        check_state(self._used, named, expected)
        state = jax.tree.map(jnp.asarray, dict(named))
        return compiled_state(self._used, state)

    def lower(
        self,
        batch: int | Mapping[str, Any],
        function: "Function" = "apply",
        train: bool | None = None,
    ) -> jax.stages.Lowered:
        """Traces a function of the network ahead of time: no array is needed.

        `net.lower(32).compile()` is called like the function, with arrays of these
        types alone, and is never traced or compiled again.

        Args:
            batch: The batch size; or inputs (and targets) by name, as arrays or as
                `jax.ShapeDtypeStruct`, where their types are others than JAX's
                default float, and for targets of losses over classes integers.
            function: "apply", "loss", or "gradient", which is
                `jax.value_and_grad(net.loss, has_aux=True)`.
            train: Training or inference; if left out, inference for apply, training
                for the others. Where capsules draw in training, the compiled function
                takes `key=`.

        Returns:
            What `jax.jit(...).lower(...)` returns: `compile()`, `as_text()`,
            `cost_analysis()`.

        Raises:
            ValueError: The function is unknown, the batch is none or does not fit.

        Example:
            >>> import capsjax as cj, jax
            >>> net = cj.compile(cj.zoo.graph("mlp"))
            >>> apply = net.lower(8).compile()
            >>> params, state = net.init(jax.random.key(0))
            >>> outputs, _ = apply(params, state, {"x": jax.numpy.ones((8, 5))})
            >>> outputs["y"].shape
            (8, 4)
        """
        from capsjax.compiler.ahead import lower

        return lower(self, batch, function, train)

    def export(
        self,
        path: str | os.PathLike[str],
        params: Params,
        state: State,
        batch: int | Mapping[str, Any] | None = None,
        function: "Function" = "apply",
        train: bool | None = None,
    ) -> Path:
        """Writes a function of the network as a folder that `cj.load_exported` reads.

        The function is StableHLO, by `jax.export`; the document, parameters by name
        and state stand beside it. It runs without the code of the declaration, and
        without kinds of one's own being registered. The folder appears whole or not at
        all.

        Args:
            path: The folder, new or empty.
            params: Parameters.
            state: State.
            batch: If left out, the function takes batches of any size, on CPUs, GPUs
                and TPUs, by JAX's own kernels. A batch size, or arrays by name as for
                `lower`: it takes these alone, on this platform, by the kernels that
                are the quickest here.
            function: "apply", "loss", or "gradient", as for `lower`.
            train: Training or inference, as for `lower`.

        Returns:
            The folder.

        Raises:
            ValueError: Parameters or state do not fit; the function is unknown; or a
                kind of one's own needs a batch size.
            FileExistsError: The folder holds something already.
            OSError: It can't be written; nothing is left behind.
        """
        from capsjax.compiler.exported import export

        return export(self, path, params, state, batch, function, train)

    def bind(self, params: Params, state: State) -> "BoundNetwork":
        """The network as an `equinox.Module` that holds parameters and state.

        The parameters are leaves of the module: what Equinox and optax do with modules
        works (`filter_jit`, `filter_grad`, `filter_vmap`, `tree_at`, serialization).
        Running statistics are leaves that are traced and stored, but are no
        floating-point arrays, so that no optimizer decays them.

        Calls are training, as those of Equinox's own layers are, until
        `equinox.nn.inference_mode` is applied to the module or to what contains it.

        Args:
            params: Parameters.
            state: State.

        Returns:
            The module: `module(inputs, key=key)` gives the outputs, of one example or
            of a batch; `module.apply(inputs, key=key)` gives the new state, too, and
            `module.with_state(state)` holds it.

        Raises:
            ValueError: Parameters or state do not fit, says which, by name.

        Example:
            >>> import capsjax as cj, equinox as eqx
            >>> x = cj.input("x", (4,))
            >>> net = cj.compile(cj.graph(cj.capsule("h", cj.matmul(x, 3), cap="relu")))
            >>> module = net.bind(*net.init(jax.random.key(0)))
            >>> module(jnp.ones(4)).shape, module(jnp.ones((5, 4))).shape
            ((3,), (5, 3))
            >>> head = eqx.nn.Linear(3, 1, key=jax.random.key(1))
            >>> eqx.nn.Sequential([module, head])(jnp.ones(4)).shape
            (1,)
        """
        from capsjax.compiler.bound import BoundNetwork

        self._check(params, state)
        return BoundNetwork(self, params, state)

    def memory(self, batch_size: int, dtype: Any = None) -> "Memory":
        """What the backward pass holds of the forward pass, and what less would cost.

        Args:
            batch_size: Number of examples.
            dtype: The type of the arrays; left out, the policy's, or JAX's default.

        Returns:
            A table by capsule and the trade-off between budgets and FLOPs; prints
            itself. Its `peak`, `full` and `smallest` are bytes.

        Raises:
            ValueError: The network was compiled with a memory budget that is below
                the smallest possible one, which it says; or its backward is JAX's.

        Example:
            >>> import capsjax as cj
            >>> x = cj.input("x", (4,))
            >>> h = cj.capsule("h", cj.matmul(x, 8), cap="tanh")
            >>> y = cj.capsule("y", cj.matmul(h, 2), cap="softmax")
            >>> net = cj.compile(cj.graph(y, losses={"y": "cross_entropy"}))
            >>> net.memory(1024).full  # Y of h, U and Y of y: 12 numbers an example
            49152
        """
        from capsjax.compiler.memory import Memory

        if self.backward == "autodiff":
            raise ValueError(
                f"network {self.graph.name!r}: JAX chooses what is kept for "
                'backward="autodiff"; expected another backward'
            )
        if dtype is None:
            dtype = self.precision.compute if self.precision else float
        return Memory.of(self.program, batch_size, jnp.result_type(dtype))

    def profile(
        self,
        batch: Mapping[str, Any],
        params: Params | None = None,
        state: State | None = None,
        *,
        steps: int = 10,
    ) -> "Profile":
        """Measures what the time of a step is spent on, capsule by capsule.

        The step is loss, outputs and gradients, in training, compiled as `cj.fit`
        compiles it, without an update. Some steps run under JAX's profiler; each
        operation of the trace is traced back to its capsule by the name that XLA
        keeps beside it. Where operations run at the same time, they share the time
        equally, so that all rows add up to the time of the step.

        What XLA fuses counts as a whole for the capsule of its last operation: a
        capsule that is all fused into the next one has no time of its own. Copies that
        XLA adds count for the operation that reads them.

        The profiler costs about a microsecond an operation. The table says how long
        the step is with it and without: on a machine at rest the two agree within a
        tenth where steps take milliseconds, and within a factor of two for the
        smallest networks, whose steps are mostly waiting.

        Args:
            batch: Inputs and targets by name, as for `loss`.
            params: Parameters; if left out, initial ones.
            state: State; if left out, the initial one.
            steps: How many steps are measured, and how many traced; the figures are of
                the quicker half of these.

        Returns:
            A table by capsule, in milliseconds, with its share of the step; prints
            itself.

        Raises:
            ValueError: As for `loss`; or no step is asked for.
            RuntimeError: The platform's trace does not name operations; or another
                trace is being made.

        Example:
            >>> import capsjax as cj
            >>> x = cj.input("x", (4,))
            >>> h = cj.capsule("h", cj.matmul(x, 8), cap="tanh")
            >>> y = cj.capsule("y", cj.matmul(h, 2), cap="softmax")
            >>> net = cj.compile(cj.graph(y, losses={"y": "cross_entropy"}))
            >>> batch = {"x": jnp.ones((32, 4)), "y": jnp.zeros(32, int)}
            >>> list(net.profile(batch).table["capsule"])
            ['h', 'y', '(other)', '(waiting)']
        """
        from capsjax.compiler.profiling.profile import profile

        return profile(self, batch, params, state, steps)

    @property
    def parameter_count(self) -> int:
        """Number of parameters; nothing is allocated."""
        return self._used.parameter_count

    @functools.cached_property
    def shapes(self) -> dict[str, CapsuleShapes]:
        """Shapes of U and Y of every capsule by name, per example."""
        return {
            capsule.name: CapsuleShapes(*capsule.shapes)
            for capsule in self.typed.unfolded
        }

    def _check(self, params: Params, state: State) -> None:
        expected = parameters.parameter_shapes(self._used)
        parameters.check_parameters(self._used, params, expected)
        self._check_state(state)

    def _check_state(self, state: State) -> None:
        expected = state_shapes(self._used)
        check_state(self._used, state, expected)
        for group in self._used.groups:
            if not group.members:
                self._check_wiring(group, state)

    def _cast(self, params: Params, inputs: Arrays) -> tuple[Params, Arrays]:
        """Parameters and inputs in the type that the program computes with.

        Without a policy, that to which JAX promotes all of them together.
        """
        given = params, inputs
        return cast(given, self.precision.compute if self.precision else common(given))

    def _given_out(self, outputs: Arrays) -> Arrays:
        return cast(outputs, self.precision.outputs) if self.precision else outputs

    @property
    def draws(self) -> bool:
        """Whether something is drawn in training, so that a key is needed."""
        return bool(self._drawing)

    @property
    def settings(self) -> dict[str, float]:
        """The traced settings: names, and the numbers that are declared."""
        return {} if self.traced is None else self.traced.program.traced

    def _settings(self, given: Settings | None) -> Settings:
        """Traced settings that are given, each a scalar of its own."""
        if not given:
            return {}
        for name, number in given.items():
            if name not in self.settings:
                known = listing(map(repr, self.settings)) or "none"
                raise ValueError(
                    f"network {self.graph.name!r}: found the setting {brief(name)}; "
                    f"expected traced ones, {known}; "
                    + nearest(name, self.settings, "cj.compile(graph, traced=[...])")
                )
            if jnp.shape(number) != ():
                raise ValueError(
                    f"network {self.graph.name!r}, setting {name!r}: found shape "
                    f"{jnp.shape(number)}; expected one number; under jax.vmap, one "
                    "for each member"
                )
        return dict(given)

    @property
    def _traced_typed(self) -> TypedGraph:
        return self.typed if self.traced is None else self.traced.typed

    @property
    def _traced_program(self) -> Program:
        return self.program if self.traced is None else self.traced.program

    def _mode(self, train: bool, key: Any, settings: Settings | None) -> Mode:
        """Training or inference, settings, and the key if there is one to draw by."""
        given = self._settings(settings)
        if not isinstance(train, bool):
            raise TypeError(
                f"train is {train!r}; expected True or False, a Python value: the two "
                "are different programs; under jax.jit make it static "
                '(static_argnames="train")'
            )
        if not train or not self._drawing:
            return Mode(train, settings=given)
        if key is None:
            names = listing(map(repr, self._drawing), 4)
            raise ValueError(
                f"network {self.graph.name!r} draws in training, in {names}; found no "
                "key; expected key=jax.random.key(...), a new one for each step; or "
                "train=False"
            )
        if not _is_key(key):
            raise ValueError(
                f"network {self.graph.name!r}: found {_described(key)} as key; "
                "expected one random key: jax.random.key(seed), or what "
                "jax.random.split or fold_in make of it; under jax.vmap, one for each "
                "member"
            )
        return Mode(train, key, settings=given)

    def _weighted(self, mode: Mode, weights: Any, inputs: Arrays) -> Mode:
        """The mode with the shares of examples, if they have weights."""
        size = next(iter(inputs.values())).shape[0]
        return mode._replace(shares=shares(weights, size, self.graph.name))

    def _check_wiring(self, group: TypedGroup, state: State) -> None:
        """Another network's rows would be read as if they were this one's."""
        if not isinstance(state, Mapping) or group.name not in state:
            found = f"no {group.name!r}"
        else:
            expected = self.program.groups[group.name].tables
            given = state[group.name]
            if isinstance(given, Mapping):
                given = {key: given[key] for key in given if key != "feedback"}
            if _shapes(given) == _shapes(expected):
                return
            found = f"{group.name!r} of another network"
        raise ValueError(
            f"state of network {self.graph.name!r}: found {found}; expected the wiring "
            "that net.init(key) returns beside the parameters; cure: pass that state on"
        )

    @functools.cached_property
    def _drawing(self) -> list[str]:
        """Names of the capsules that draw in training."""
        drawing = [capsule.name for capsule in self._used.alone if capsule.draws]
        for run in self._used.runs:
            for capsule in run.body.alone:
                drawing += run.members[capsule.name] if capsule.draws else ()
        return drawing

    @property
    def _used(self) -> TypedGraph:
        return self.program.typed

    @functools.cached_property
    def _run(self) -> Run:
        if self.backward == "autodiff":
            return functools.partial(interpreted, self._traced_typed, self._used)
        return with_hint(CompiledRun(self._traced_program))

    @functools.cached_property
    def _only(self) -> Only:
        return Only(self)

    @functools.cached_property
    def _observed(self) -> Program:
        """The program in which every capsule still stands."""
        typed, program = self._traced_typed, self._traced_program
        stages = run_passes(typed, self.passes, observable=True, check=False)
        typed = stages[-1].typed
        if typed == program.typed:
            return program.keeping_all  # its groups are laid out already
        return Program(typed, plan(typed))

    def _observed_layout(self, params: Params, state: State) -> tuple[Params, State]:
        """Parameters and state as `_observed` takes them: its groups may be others."""
        if self._observed.typed is self._traced_program.typed:
            return params, state
        named = dict(parameters.flatten(parameters.by_name(self._used, params)))
        by_name = state_by_name(self._used, state)
        typed = self._observed.typed
        return (
            parameters.compiled(typed, named),
            compiled_state(typed, by_name),
        )

    def __repr__(self) -> str:
        return (
            f"Network({self.graph.name!r}, {len(self._used.capsules)} capsules, "
            f"{self.parameter_count:,} parameters)"
        )


def _shapes(tree: Any) -> dict[str, Shape]:
    """Shapes of a tree's arrays by their place, whatever the containers are."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): jnp.shape(leaf) for path, leaf in leaves}


def by_name(group: TypedGroup, members: jax.Array) -> Arrays:
    """Tensors of a group's members, [batch, members, *unit], by capsule."""
    if not group.members:
        return {group.name: members}
    return {name: members[:, i] for i, name in enumerate(group.members)}


def _is_key(key: Any) -> bool:
    """Whether it is one random key, of the new style or the old."""
    dtype, shape = getattr(key, "dtype", None), getattr(key, "shape", None)
    if dtype is None:
        return False
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):
        return shape == ()
    old = jax.eval_shape(jax.random.PRNGKey, 0)
    return dtype == old.dtype and shape == old.shape


def _described(given: Any) -> str:
    if hasattr(given, "shape") and hasattr(given, "dtype"):
        return f"an array of {given.dtype}, shape {given.shape}"
    return brief(given)
