"""The table of backward rules: how error signals travel is a choice.

cj.compile(graph, backward="feedback_alignment")
cj.capsule("h", cj.matmul(x, 512), cap="step", backward="straight_through")
cj.with_backward(cj.matmul(h, 10), cj.backward.scale(0.5))
"""

from capsjax.backward.base import BackwardRule, Crossing, register_backward
from capsjax.backward.feedback import FeedbackAlignment as feedback_alignment
from capsjax.backward.feedback import KolenPollack as kolen_pollack
from capsjax.backward.feedback import SignSymmetric as sign_symmetric
from capsjax.backward.functions import Guided as guided
from capsjax.backward.functions import StraightThrough as straight_through
from capsjax.backward.received import (
    DirectFeedbackAlignment as direct_feedback_alignment,
)
from capsjax.backward.received import Local as local
from capsjax.backward.signals import Clip as clip
from capsjax.backward.signals import Exact as exact
from capsjax.backward.signals import Noise as noise
from capsjax.backward.signals import Scale as scale
from capsjax.backward.signals import Stop as stop

__all__ = [
    "BackwardRule",
    "Crossing",
    "clip",
    "direct_feedback_alignment",
    "exact",
    "feedback_alignment",
    "guided",
    "kolen_pollack",
    "local",
    "noise",
    "register_backward",
    "scale",
    "sign_symmetric",
    "stop",
    "straight_through",
]
