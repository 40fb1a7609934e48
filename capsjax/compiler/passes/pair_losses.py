"""Pass: a loss and its capsule function become one, computed from U."""

import dataclasses

from capsjax.graph.typed import TypedGraph
from capsjax.losses import PAIRS


def pair_losses(typed: TypedGraph) -> tuple[TypedGraph, list[str]]:
    """Marks losses that have a pair with the capsule function of their output.

    For softmax with cross-entropy, at their defaults `delta_H = softmax(U_H) - T`:
    stable for any logits, and no error signal passes through softmax's Jacobian.
    """
    caps = typed.caps
    losses, notes = [], []
    for each in typed.losses:
        cap = caps[each.output]
        paired = (type(cap), type(each.loss)) in PAIRS
        losses.append(dataclasses.replace(each, from_total_input=paired))
        if paired:
            notes.append(
                f"{each.output}: {cap.kind} with {each.loss.kind} computed from U"
            )
    return dataclasses.replace(typed, losses=tuple(losses)), notes
