"""Subjects in processes of their own, which step in turn."""

import argparse
import collections
import json
import os
import queue
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from bench import neuron_peers
from bench.measure import WorkerError, rotated


class Subject:
    """One subject's process, from its first call to the end of the `with` block."""

    def __init__(self, peer: str, name: str, arguments: Sequence[int]):
        request = {"peer": peer, "problem": name, "arguments": list(arguments)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.neuron_peers.worker", json.dumps(request)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A compilation cache on disk would let one measurement warm the next.
            env={
                **os.environ,
                "JAX_PLATFORMS": "cpu",
                "JAX_ENABLE_COMPILATION_CACHE": "false",
            },
        )
        self.lines: queue.Queue[str | None] = queue.Queue()
        self.errors: collections.deque[str] = collections.deque(maxlen=5)
        self.threads = [
            threading.Thread(target=read, daemon=True)
            for read in (self._read_output, self._read_errors)
        ]
        for thread in self.threads:
            thread.start()

    def _read_output(self) -> None:
        for line in self.process.stdout or ():
            self.lines.put(line)
        self.lines.put(None)

    def _read_errors(self) -> None:
        self.errors.extend(self.process.stderr or ())

    def answer(self, limit_s: float):
        """Returns the next answer; raises WorkerError if there is none in time."""
        try:
            line = self.lines.get(timeout=limit_s)
        except queue.Empty:
            raise WorkerError(f"not ready in {limit_s:g} s") from None
        if line is None:
            self.threads[1].join()
            last = self.errors[-1].strip() if self.errors else "no message"
            raise WorkerError(f"does not run: {last}")
        return json.loads(line)

    def steps(self, count: int, limit_s: float) -> list[float]:
        """Seconds of as many steps."""
        assert self.process.stdin
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        return self.answer(limit_s)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def measure(
    peers: Sequence[str],
    name: str,
    arguments: Sequence[int],
    options: argparse.Namespace,
) -> dict[str, dict]:
    """Measures subjects on one problem; `{subject: figures}`.

    The figures of a subject that fails are `{"failed": reason}`. Ratios are of the
    rounds' own step times, to those of the first subject that runs.
    """
    subjects: dict[str, Subject] = {}
    figures: dict[str, dict] = {}
    try:
        for peer in peers:
            print(f"  {peer}", file=sys.stderr)
            if not neuron_peers.installed(peer):
                figures[peer] = {"failed": "is not installed"}
                continue
            subject = Subject(peer, name, arguments)
            try:
                figures[peer] = subject.answer(options.limit)
                subjects[peer] = subject
            except WorkerError as error:
                figures[peer] = {"failed": str(error)}
                subject.end()
        rounds = _rounds(subjects, options)
    finally:
        for subject in subjects.values():
            subject.end()
    for peer, seconds in rounds.items():
        reference = next(iter(rounds.values()))
        ratios = [a / b for a, b in zip(seconds, reference, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
        figures[peer] |= {
            "step_s": statistics.median(seconds),
            "ratio": middle,
            "quartiles": (low, high),
        }
    return figures


def _rounds(
    subjects: dict[str, Subject], options: argparse.Namespace
) -> dict[str, list[float]]:
    """Median seconds of each subject's steps in each round."""
    once = {
        peer: subject.steps(1, options.limit)[0] for peer, subject in subjects.items()
    }
    # Quick steps are repeated within a round, after two that are not counted.
    repeats = {peer: max(1, min(20, int(0.2 / s))) for peer, s in once.items()}
    skipped = {peer: 2 if s < 0.2 else 0 for peer, s in once.items()}
    seconds: dict[str, list[float]] = {peer: [] for peer in subjects}
    end = time.perf_counter() + options.seconds
    for number in range(options.rounds):
        for peer in rotated(list(subjects), number) if subjects else ():
            times = subjects[peer].steps(skipped[peer] + repeats[peer], options.limit)
            seconds[peer].append(statistics.median(times[skipped[peer] :]))
        if number >= 2 and time.perf_counter() > end:
            break
    return seconds
