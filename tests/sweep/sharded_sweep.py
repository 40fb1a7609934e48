"""Sweeps over eight devices of one CPU; `test_sharded` runs it.

Prints, as JSON, how far members are from what `cj.fit` makes of their settings, over
how many devices their parameters lay, and how many programs were compiled.
"""

import json
from typing import Any

import jax
import numpy as np
import optax

import capsjax as cj
from capsjax.sweep import lanes
from tests.sweep.helpers_sweep import examples, furthest, swept, tiny

RATES = [float(rate) for rate in np.geomspace(1e-3, 1e-1, 12)]


def main() -> None:
    """Sweeps in both ways, over all devices, and compares some members."""
    spread = []
    original = lanes.Compiled.stack

    def looked_at(self, *given):
        carry, numbers = original(self, *given)
        weights = carry["params"]["h"]["W"]["x"]
        spread.append(len(weights.sharding.device_set))
        return carry, numbers

    setattr(lanes.Compiled, "stack", looked_at)  # noqa: B010
    over = {"learning_rate": RATES, "drop.rate": [0.3]}
    more = {"graph": tiny(), "optimizer": optax.adam, "validation": examples(9, 1)}
    found: dict[str, Any] = {"apart": 0.0}
    for strategy in ("loop", "vmap"):
        result = swept(over, strategy=strategy, seeds=2, **more)
        found[strategy] = [int(result.groups["lanes"][0]), result.compilations]
        for member in (0, 9, 23):
            settings = result.settings(member)
            run = cj.fit(
                cj.compile(tiny(rate=0.3)),
                examples(),
                optimizer=optax.adam(settings["learning_rate"]),
                seed=int(result.table["seed"][member]),
                batch_size=8,
                epochs=2,
                progress=False,
            )
            apart = furthest(result.params(member), run.params)
            found["apart"] = max(found["apart"], apart)
    wired = cj.neural.random_dag(
        "window", inputs=4, neurons=9, in_degree=3, window=6, outputs=3, seed=0
    )
    model = cj.neural.model(wired, cap="softmax", loss="cross_entropy")
    setattr(lanes.Compiled, "stack", original)  # noqa: B010
    neurons = swept({"learning_rate": RATES}, graph=model, epochs=1)
    found["neurons"] = int((neurons.table["status"] == "done").sum())
    print(json.dumps({**found, "devices": sorted(set(spread))}))


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main()
