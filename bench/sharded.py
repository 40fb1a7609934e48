"""Memory on each device as parameters are divided: `python -m bench.sharded`.

Eight devices of one CPU stand for eight of an accelerator: what lies on each of them is
what would lie there. For each mesh, a fresh process makes a training step with Adam and
reads off

    planned     what `Placement.bytes_per_device` says of all that training carries
    held        the bytes of the carry's shards on the device that holds most
    arguments   what XLA says that the compiled step is given on a device
    temporary   what XLA says that it needs beside that on a device
    apart       how far the loss is from that of one device

On a CPU, all eight share memory and cores: times would tell nothing and are not taken.
"""

import argparse
import json
import os
import subprocess
import sys
from typing import Any

MESHES = ("1,1", "8,1", "4,2", "2,4", "1,8")
PROBLEMS = ("mlp", "gpt-2")
MIB = 2**20


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m bench.sharded", description=__doc__)
    add = parser.add_argument
    add("--problems", nargs="+", default=PROBLEMS, choices=PROBLEMS)
    add("--meshes", nargs="+", default=MESHES, help="sizes of data and model: 4,2")
    add("--batch", type=int, default=32)
    add("--task", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def problem(name: str) -> tuple[Any, dict[str, str]]:
    """A network and the rules for it."""
    import capsjax as cj

    if name == "mlp":
        sizes = (1024, *[1024] * 8, 1000)
        graph = cj.zoo.graph("mlp", sizes=sizes, cap="relu")
        return cj.compile(graph), {"out": "model"}
    sizes = {"vocabulary": 8192, "length": 64, "width": 256, "layers": 4, "heads": 8}
    rules = {"vocabulary": "model", "out": "model"}
    return cj.compile(cj.zoo.graph("gpt-2", **sizes)), rules


def batch_of(net: Any, size: int) -> dict[str, Any]:
    """Examples drawn by chance."""
    import numpy as np

    draw, found = np.random.default_rng(0), {}
    for each in net.graph.inputs:
        integers = each.dtype == "integer"
        shape = (size, *each.shape)
        rows = draw.integers(0, 8192, shape) if integers else draw.normal(size=shape)
        found[each.name] = rows if integers else rows.astype(np.float32)
    for name, _ in net.graph.losses:
        shape = net.shapes[name].output
        found[name] = draw.integers(0, shape[-1], (size, *shape[:-1]))
    return found


def measured(name: str, mesh: str, size: int) -> dict[str, Any]:
    """One step on one mesh."""
    import jax
    import optax

    from capsjax.compiler.jit import jit
    from capsjax.training.learner import NOTHING, Learner
    from capsjax.training.optimizers import optimizer_of
    from capsjax.training.parallel import Placement

    net, rules = problem(name)
    learner = Learner(net, optimizer_of(optax.adam(1e-3)))
    data, model = map(int, mesh.split(","))
    placement = Placement.of(net, {"data": data, "model": model}, rules)
    carry, batch = placement.put(learner.initial(0)), batch_of(net, size)
    lies = placement.carry(carry)
    step = jit(
        lambda carry, batch: learner.step(carry, batch, NOTHING),
        donate_argnums=0,
        in_shardings=(lies, placement.batch(batch)),
        out_shardings=lies,
    )
    compiled = step.lower(carry, batch).compile()
    analysis = compiled.memory_analysis()
    carry = compiled(carry, placement.feed(batch))
    held = dict.fromkeys(placement.mesh.devices.flat, 0)
    for array in jax.tree.leaves(carry):
        for shard in array.addressable_shards:
            held[shard.device] += shard.data.nbytes
    return {
        "parameters": net.parameter_count,
        "planned": placement.bytes_per_device(carry),
        "held": max(held.values()),
        "arguments": analysis.argument_size_in_bytes,
        "temporary": analysis.temp_size_in_bytes,
        "loss": float(carry["sums"]["loss"]) / size,
    }


def main() -> None:
    options = arguments()
    if options.task:
        name, mesh = options.task
        print(json.dumps(measured(name, mesh, options.batch)))
        return
    flags = "--xla_force_host_platform_device_count=8"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    for name in options.problems:
        rows = {}
        for mesh in options.meshes:
            command = [sys.executable, "-m", "bench.sharded", "--task", name, mesh]
            command += ["--batch", str(options.batch)]
            done = subprocess.run(
                command, capture_output=True, text=True, env=environment
            )
            if done.returncode:
                raise SystemExit(f"{' '.join(command[1:])} failed:\n{done.stderr}")
            rows[mesh] = json.loads(done.stdout.splitlines()[-1])
        show(name, rows, options.batch)


def show(name: str, rows: dict[str, dict[str, Any]], size: int) -> None:
    """Prints the table of a problem."""
    first = next(iter(rows.values()))
    print(f"{name}: {first['parameters']:,} parameters, batch {size}; MiB a device")
    print("  data,model  planned     held  of whole  arguments  temporary    apart")
    for mesh, row in rows.items():
        sizes = {key: row[key] / MIB for key in ("planned", "held")}
        print(
            f"  {mesh:>10}  {sizes['planned']:7.2f}  {sizes['held']:7.2f}"
            f"  {row['held'] / first['held']:8.1%}  {row['arguments'] / MIB:9.2f}"
            f"  {row['temporary'] / MIB:9.2f}  {abs(row['loss'] - first['loss']):7.0e}"
        )


if __name__ == "__main__":
    main()
