"""Networks of torchvision and transformers as references; dropout never drops."""

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from helpers_equality import Arrays, Outcome, Reference

torch = pytest.importorskip("torch")


# torchvision's wheel is built for CUDA: beside a torch for CPU alone it lacks its
# operators. None of the networks needs them, but importing it, as transformers does,
# too, fails unless they are declared; declarations live as long as their library.
if torch.version.cuda is None:
    _LIBRARY = torch.library.Library("torchvision", "FRAGMENT")
    for _name in ("nms", "qnms"):
        _LIBRARY.define(
            f"{_name}(Tensor dets, Tensor scores, float threshold) -> Tensor"
        )

torchvision: Any = pytest.importorskip("torchvision")


def reference(
    model: Any,
    inputs: Arrays,
    outputs: Callable[[Any], Mapping[str, Any]],
    *,
    residual: str = "",
    apart: bool = False,
    seed: int = 0,
) -> Reference:
    """A torch module, its parameters and statistics drawn anew.

    In float32, rounding takes some units over the kink of relu, and with each of them
    the gradient of everything below jumps. Where units are to stay apart from it,
    normalized channels lie at a distance from zero, on either side.

    Args:
        model: The module.
        inputs: A batch by our names: floats with channels last, or whole numbers.
        outputs: From what the module returns to outputs by our names.
        residual: A regular expression: normalizations added to a shortcut. They are
            scaled down, so that deep networks do not amplify rounding.
        apart: Whether units are to stay apart from the kink of relu.
        seed: Of the parameters.
    """
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    model = model.double()
    _draw_parameters(model, residual, apart, seed)
    _draw_statistics(model, inputs, seed)
    kept = {n: t.detach().clone() for n, t in model.state_dict().items()}
    evaluate = functools.partial(_evaluate, model, kept, outputs)
    own = _each_once(model)
    return Reference({n: t.numpy() for n, t in kept.items() if n in own}, evaluate)


def _each_once(model: Any) -> set[str]:
    """Names of what is stored, without further names of tied parameters."""
    named = [*model.named_parameters(), *model.named_buffers()]
    return model.state_dict().keys() & {name for name, _ in named}


def _draw_parameters(model: Any, residual: str, apart: bool, seed: int) -> None:
    """Weights by fan-in; scales below one, shifts of either sign."""
    generator = torch.Generator().manual_seed(seed)
    batch_norm = torch.nn.modules.batchnorm._BatchNorm

    def uniform(like: Any, low: float, high: float) -> Any:
        return torch.empty_like(like).uniform_(low, high, generator=generator)

    with torch.no_grad():
        for parameter in model.parameters():
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 100
            parameter.normal_(0, (2 / fan_in) ** 0.5, generator=generator)
        for name, module in model.named_modules():
            if not isinstance(module, batch_norm | torch.nn.LayerNorm):
                continue
            added = bool(residual and re.search(residual, name))
            scale = uniform(module.weight, *((0.1, 0.3) if added else (0.5, 1.0)))
            module.weight.copy_(scale)
            if apart and isinstance(module, batch_norm):
                distance = uniform(scale, 3.5, 4.5)
                if not added:  # a shortcut is positive: added to it, shifts are, too
                    distance *= torch.where(uniform(scale, 0, 1) < 0.7, 1, -1)
                module.bias.copy_(distance * scale)


def _draw_statistics(model: Any, inputs: Arrays, seed: int) -> None:
    """Running statistics near those of a batch: inference stays in range."""
    norms = [m for m in model.modules() if hasattr(m, "running_mean")]
    generator = torch.Generator().manual_seed(seed)
    momenta = [m.momentum for m in norms]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        model.train()(*_tensors(inputs, torch.float64))
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            noise = torch.empty_like(norm.running_mean).normal_(generator=generator)
            norm.running_mean += 0.1 * noise * norm.running_var.sqrt()
            noise = torch.empty_like(norm.running_mean).uniform_(generator=generator)
            norm.running_var *= 0.5 + noise


def _tensors(inputs: Arrays, dtype: Any) -> list[Any]:
    tensors = []
    for array in inputs.values():
        tensor = torch.from_numpy(array)
        if tensor.is_floating_point():
            tensor = tensor.movedim(-1, 1).contiguous().to(dtype)
        tensors.append(tensor)
    return tensors


def _evaluate(
    model: Any,
    kept: Mapping[str, Any],
    outputs: Callable[[Any], Mapping[str, Any]],
    dtype: Any,
    inputs: Arrays,
    cotangents: Arrays,
) -> Outcome:
    kind = torch.float64 if dtype == np.float64 else torch.float32
    model.to(kind).load_state_dict(kept)
    given = _tensors(inputs, kind)
    with torch.no_grad():
        inference = outputs(model.eval()(*given))
    model.zero_grad()
    training = outputs(model.train()(*given))
    names = cotangents.keys() & training.keys()
    torch.stack(
        [(training[n] * torch.from_numpy(cotangents[n]).to(kind)).sum() for n in names]
    ).sum().backward()
    own = _each_once(model)
    tensors = {n: buffer for n, buffer in model.named_buffers() if n in own}
    for name, parameter in model.named_parameters():
        gradient = parameter.grad
        tensors[name] = torch.zeros_like(parameter) if gradient is None else gradient
    inference, training, tensors = (
        {name: each.detach().double().numpy() for name, each in some.items()}
        for some in (inference, training, tensors)
    )
    return Outcome(inference, training, tensors)
