"""Three networks of equal layers, for any depth: what every version computes.

`mlp`: h <- tanh(h W + b). `conv`: h <- relu(h + C2 * relu(C1 * h)), with biases.
`transformer`: h <- h + attention(norm(h)), h <- h + W2 gelu(W1 norm(h)), before it
scales but no shifts of the norms. All end in 10 classes and the cross-entropy.
"""

from typing import NamedTuple

import numpy as np

Values = dict[str, np.ndarray]


class Problem(NamedTuple):
    """A network but for its depth.

    Attributes:
      shape: shape of the input with the batch axis; also that of what layers hand on.
      layer: names and shapes of the weights of a layer.
    """

    shape: tuple[int, ...]
    layer: dict[str, tuple[int, ...]]

    @property
    def head(self) -> tuple[int, int]:
        """Shape of the last weight; images are averaged, sequences too."""
        return self.shape[-1], 10


WIDTH, CHANNELS, FEATURES, HEADS = 256, 32, 128, 4

PROBLEMS = {
    "mlp": Problem((128, WIDTH), {"w": (WIDTH, WIDTH), "b": (WIDTH,)}),
    "conv": Problem(
        (8, 16, 16, CHANNELS),
        {
            "w1": (3, 3, CHANNELS, CHANNELS),
            "b1": (CHANNELS,),
            "w2": (3, 3, CHANNELS, CHANNELS),
            "b2": (CHANNELS,),
        },
    ),
    "transformer": Problem(
        (8, 64, FEATURES),
        {
            "scale1": (FEATURES,),
            "q": (FEATURES, FEATURES),
            "k": (FEATURES, FEATURES),
            "v": (FEATURES, FEATURES),
            "o": (FEATURES, FEATURES),
            "scale2": (FEATURES,),
            "w1": (FEATURES, 4 * FEATURES),
            "w2": (4 * FEATURES, FEATURES),
        },
    ),
}


def values(name: str, depth: int) -> tuple[list[Values], Values]:
    """The weights of the layers, and of the head."""
    problem, rng = PROBLEMS[name], np.random.default_rng(0)

    def draw(key: str, shape: tuple[int, ...]) -> np.ndarray:
        if key.startswith("scale"):
            return np.ones(shape, np.float32)
        if key.startswith("b"):
            return np.zeros(shape, np.float32)
        # Half of what keeps the scale, so that hundreds of residuals stay finite.
        spread = (1.0 if name == "mlp" else 0.3) / np.sqrt(np.prod(shape[:-1]))
        return (spread * rng.standard_normal(shape)).astype(np.float32)

    layers = [
        {key: draw(key, shape) for key, shape in problem.layer.items()}
        for _ in range(depth)
    ]
    return layers, {"w": draw("w", problem.head), "b": np.zeros(10, np.float32)}


def batch(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and labels."""
    rng = np.random.default_rng(1)
    shape = PROBLEMS[name].shape
    return rng.standard_normal(shape).astype(np.float32), rng.integers(0, 10, shape[0])
