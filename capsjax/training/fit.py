"""fit: train a network on data; one compiled program, data on the device, one seed."""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import numpy as np

from capsjax.compiler import Network
from capsjax.compiler.jit import jit
from capsjax.training.augment import augmentation_of
from capsjax.training.bar import Bar
from capsjax.training.class_weights import example_weights
from capsjax.training.data import Split
from capsjax.training.dataset import (
    Dataset,
    bind,
    permutation,
    permutation_padded,
    split_of,
)
from capsjax.training.evaluate import Compile, evaluation, prepared
from capsjax.training.guard import Guard, Mode, NonFinite
from capsjax.training.learner import Carry, Given, Learner, number
from capsjax.training.loop import Loop, Order, Place, Row, Stopped
from capsjax.training.optimizers import optimizer_of
from capsjax.training.parallel import Placement
from capsjax.training.recipe import Recipe, Trace, require_sound
from capsjax.training.run import Run
from capsjax.training.signals import Signals
from capsjax.training.steps import Steps


def fit(
    net: Network,
    data: Any,
    *,
    validation: Split | Mapping[str, Any] | None = None,
    optimizer: Any = None,
    settings: Mapping[str, float] | None = None,
    epochs: int = 20,
    steps: int | None = None,
    batch_size: int = 32,
    seed: int = 0,
    initial_scale: float = 1.0,
    params: Any = None,
    short_batch: Literal["drop", "mask"] = "drop",
    class_weights: Any = None,
    augment: Any = None,
    average: float | None = None,
    guard: Mode = "off",
    early_stopping: Any = None,
    callbacks: Sequence[Callable[[Row], None]] = (),
    folder: str | os.PathLike[str] | None = None,
    resume: bool = False,
    checkpoints: Any = None,
    progress: bool = True,
    mesh: Any = None,
    rules: Any = None,
    trace: Trace | None = None,
) -> Run:
    """Trains a network.

    Each epoch visits the examples in a new order, in batches of one size. The step is
    compiled once, its buffers are donated, and the data stays on the device if it takes
    less than half of the memory free there; many steps are then one call.

    With a `folder` the run survives: checkpoints are kept there while it goes on, and
    with `resume=True` the same call goes on where it was broken off, bit by bit as if
    it never had been. Ctrl-C and SIGTERM finish the step, keep a checkpoint and raise
    `cj.Interrupted`.

    Args:
        net: The network; its graph declares the loss.
        data: What `cj.load_data(...)` gives, whose arrays go where they fit: an input
            takes the images, or labels one-hot; an output's target is the labels, or
            the image where the output has its shape. Or arrays by input and output
            name, rows along the first axis.
        validation: Examples to measure on after each epoch; the test set, if `data`
            has one.
        optimizer: An optimizer of optax, such as `optax.adam(1e-3)`; or what makes one
            of its settings: `optax.adamw`, a function of your own, or a declaration,
            `{"kind": "adamw", "learning_rate": 1e-3}`, or its name. "adam", with that
            learning rate, if left out.
        settings: Numbers by name that are given to the program in place of being built
            into it: of what makes the optimizer, `{"learning_rate": 1e-3}`, and traced
            ones of the network, `{"drop.rate": 0.2}`. `cj.sweep` gives them so: a run
            with a member's settings is that member, bit by bit where members run one
            by one.
        epochs: Number of passes over the data.
        steps: Number of steps, in place of epochs: the last pass may be a part.
        batch_size: Examples per step; all of them, if there are fewer.
        seed: Decides initial parameters and order. The same seed on the same machine
            gives the same run, bit by bit.
        initial_scale: Factor of initial weights, as for `net.init`.
        params: Parameters to start from instead of initial ones; not donated.
        short_batch: What becomes of examples that do not fill a batch: "drop", they
            wait for the next epoch, in which others do; or "mask", they make a batch
            that is filled up with examples which count nothing. (Statistics over a
            batch, as of `standardize`, see those that fill it up, too.)
        class_weights: What the examples of a class count in the loss, by class; or
            "balanced", for as much in all of each class.
        augment: What changes the examples of a step at random, one of `cj.augment` or
            a list of them; or their declarations, `{"kind": "shift", "pixels": 2}`.
        average: Decay of a moving average of the parameters, such as 0.999, which the
            validation then measures and the run has as `run.average`.
        guard: What is done where numbers are not finite any more: "off", nothing;
            "stop" with an error that names step, capsule and quantity; "skip" the
            step; "roll back" to where the epoch began, or to a checkpoint since, and go
            on with half the learning rate. Keeps a second copy of what is trained, and
            a third to roll back to; takes no time worth mention.
        early_stopping: When to end before all epochs, `cj.EarlyStopping(...)`.
        callbacks: Functions that are called with each row of the history, a dict.
        folder: Where the run is kept: new, empty, or with `resume` that of this run.
        resume: Whether to go on with the run in the folder, if there is one. Epochs or
            steps may be more than before; all else must be as it was.
        checkpoints: When checkpoints are kept and which, `cj.Checkpoints(...)`; one
            each ten minutes, the last three, if left out.
        progress: Whether to show a progress bar.
        mesh: Devices to train on, sizes by axis, `{"data": 4, "model": 2}`, or a
            `jax.sharding.Mesh`: batches are divided over "data". One device, if
            neither it nor rules are given.
        rules: How parameters are divided, from the names of their axes to axes of the
            mesh, `{"out": "model"}`; whole on every device, if left out.
        trace: What `cj.trace` gives; or any function, called as `trace(step, params,
            state)` before the first step and after each, or after every
            `trace.every` steps, if it says so: it must not keep the arrays.

    Returns:
        The run: parameters, state, and the history as a table.

    Raises:
        ValueError: The data does not fit the network, by name; or a setting is out of
            range.
        FileExistsError: The folder holds another run, and says in what it differs; or
            something else.
        Interrupted: A signal came; what was learned is kept in the folder.
        NonFinite: The guard has stopped the run; names the step, the capsule and the
            quantity, and has the run so far.

    Example:
        >>> import capsjax as cj
        >>> image = cj.input("image", (8, 8, 1))
        >>> flat = cj.capsule("flat", cj.reshape(image, (-1,)), bias=None)
        >>> digit = cj.capsule("digit", cj.matmul(flat, 10), cap="softmax")
        >>> net = cj.compile(cj.graph(digit, losses={"digit": "cross_entropy"}))
        >>> run = cj.fit(net, cj.load_data("digits"), progress=False)
        >>> bool(run.history["validation_accuracy"].iloc[-1] > 0.9)
        True
    """
    recipe = Recipe(
        validation=validation,
        optimizer=optimizer,
        settings=settings,
        epochs=epochs,
        steps=steps,
        batch_size=batch_size,
        seed=seed,
        initial_scale=initial_scale,
        params=params,
        short_batch=short_batch,
        class_weights=class_weights,
        augment=augment,
        average=average,
        guard=guard,
        early_stopping=early_stopping,
        callbacks=callbacks,
        folder=folder,
        resume=resume,
        checkpoints=checkpoints,
        progress=progress,
        mesh=mesh,
        rules=rules,
        trace=trace,
    )
    return fit_by(lambda function: jit(function, donate_argnums=0), net, data, recipe)


def fit_by(compiled: Compile, net: Network, data: Any, recipe: Recipe) -> Run:
    """`fit`, whose programs are compiled by a given function.

    Args:
        compiled: `compiled(f)` compiles `f` and donates its first argument, to which
            the result is equal in structure; the name of `f` says what it is.
        net: The network.
        data: What it learns from.
        recipe: How.
    """
    require_sound(net, recipe)
    learner = Learner(
        net,
        optimizer_of(recipe.optimizer),
        augment=_augmentation(net, recipe.augment),
        decay=recipe.average,
    )
    numbers = learner.given(recipe.settings or {})
    learner.require_settings(numbers)
    numbers = jax.tree.map(number, numbers)
    if recipe.guard == "roll back":
        numbers["scale"] = number(1.0)
    given, test = split_of(data)
    train = bind(net, given, "data")
    test = recipe.validation if recipe.validation is not None else test
    held_out = None if test is None else bind(net, test, "validation")
    placement = None
    if recipe.mesh is not None or recipe.rules is not None:
        placement = Placement.of(net, recipe.mesh, recipe.rules)
        placement.require_rows(min(recipe.batch_size, len(train)), "batch_size")
        train = _on_mesh(placement, train)
        held_out = None if held_out is None else _on_mesh(placement, held_out)
    order = _order(net, recipe, train)
    per_epoch = len(order(1)[0])
    total = recipe.epochs * per_epoch if recipe.steps is None else recipe.steps
    with contextlib.ExitStack() as stack:
        folder = None
        if recipe.folder is not None:
            folder = stack.enter_context(_opened(learner, recipe, given, test))
        place = Place()
        carry = learner.initial(
            recipe.seed, numbers, recipe.initial_scale, recipe.params
        )
        restored = folder.restored(carry) if folder else None
        if restored is not None:
            place, carry = restored
            numbers |= {"scale": number(place.scale)} if "scale" in numbers else {}
        if placement is not None:
            carry = placement.put(carry)
        shown = recipe.progress and jax.process_index() == 0
        loop = Loop(
            steps=_steps(compiled, learner, train, numbers, placement, carry),
            evaluate=evaluation(compiled, learner, held_out, recipe.batch_size),
            order=order,
            per_epoch=per_epoch,
            total=total,
            place=place,
            carry=carry,
            guard=Guard(recipe.guard),
            bar=stack.enter_context(Bar(place.steps, total, shown)),
            signals=Signals(),
            trace=recipe.trace,
            callbacks=recipe.callbacks,
        )
        if recipe.early_stopping is not None:
            loop.ends = recipe.early_stopping.stops
        if folder is not None:
            stack.enter_context(loop.signals)
            loop.save, loop.due, loop.within = folder.save, folder.due, folder.within
            loop.callbacks = (*folder.writers, *recipe.callbacks)
        try:
            loop.run()
        except Stopped as stopped:
            if folder is not None:
                folder.save(loop)
            run = _run(loop, folder)
            raise NonFinite(stopped.why, stopped.fault, run) from None
        run = _run(loop, folder)
        if folder is not None:
            folder.save(loop)
            if loop.signals.received and place.steps < total:
                raise folder.interrupted(loop, total)
            folder.finish(run)
        return run


def _on_mesh(placement: Placement, data: Dataset) -> Dataset:
    """The same data on all devices of a mesh, where it is on the device."""
    if not data.on_device:
        return data
    return dataclasses.replace(data, arrays=placement.replicated(data.arrays))


def _steps(
    compiled: Compile,
    learner: Learner,
    data: Dataset,
    numbers: Given,
    placement: Placement | None,
    carry: Carry,
) -> Steps:
    """The program of the steps, on one device or a mesh."""
    learner = prepared(learner, data)
    if placement is None:
        return Steps(compiled, learner, data, numbers)
    lies, inner = placement.carry(carry), learner.prepare

    def divided(batch: Any) -> Any:
        return placement.constrain(batch if inner is None else inner(batch))

    def on_mesh(function: Callable[..., Any]) -> Callable[..., Any]:
        return jit(function, donate_argnums=0, out_shardings=lies)

    learner = dataclasses.replace(learner, prepare=divided)
    return Steps(on_mesh, learner, data, numbers, placement)


def _run(loop: Loop, folder: Any) -> Run:
    """What a loop has come to."""
    import pandas as pd  # here: the first step shall not wait for it

    carry, net = loop.carry, loop.learner.net
    if jax.process_count() > 1 and loop.steps.placement is not None:
        carry = loop.steps.placement.gathered(carry)
    history = pd.DataFrame(loop.place.rows)
    faults = tuple(loop.guard.faults)
    average = carry.get("average")
    return Run(
        net,
        carry["params"],
        carry["state"],
        history,
        configuration=None if folder is None else folder.about,
        average=average,
        faults=faults,
        folder=None if folder is None else folder.path,
    )


def _augmentation(net: Network, given: Any) -> Any:
    made = augmentation_of(given)
    return None if made is None else made.of_network(net)


def _order(net: Network, recipe: Recipe, data: Dataset) -> Order:
    """What each epoch visits, and what it counts."""
    count, size = len(data), min(recipe.batch_size, len(data))
    own = example_weights(net, data, recipe.class_weights)

    def order(epoch: int) -> tuple[np.ndarray, np.ndarray | None]:
        if recipe.short_batch == "drop":
            rows, weights = permutation(count, size, recipe.seed, epoch), None
        else:
            rows, weights = permutation_padded(count, size, recipe.seed, epoch)
        if own is not None:
            weights = own[rows] if weights is None else own[rows] * weights
        return rows, weights

    return order


def _opened(learner: Learner, recipe: Recipe, given: Any, test: Any) -> Any:
    """The folder of the run, to be opened."""
    # Here: runs without one need no orbax.
    from capsjax.training.folder import identity_of, opened

    identity = identity_of(learner, recipe, given, test)
    return opened(str(recipe.folder), learner.net, recipe, identity)
