"""Pareto fronts of memory and work."""

from typing import NamedTuple

import numpy as np

_MOST_PAIRS = 512


class Front(NamedTuple):
    """Pairs of which none is worse than another: memory ascending, work descending.

    `origins` says of each from which part, and which place in it, it came.
    """

    memory: np.ndarray
    work: np.ndarray
    origins: list[tuple[int, int]]

    @classmethod
    def of(
        cls, memories: list[np.ndarray], works: list[np.ndarray], budget: int
    ) -> "Front":
        if not memories:
            return cls(np.zeros(0, int), np.zeros(0), [])
        memory, work = np.concatenate(memories), np.concatenate(works)
        lengths = [len(each) for each in memories]
        part = np.repeat(np.arange(len(lengths)), lengths)
        place = np.concatenate([np.arange(length) for length in lengths])
        order = np.lexsort((work, memory))
        least = np.minimum.accumulate(work[order])
        better = np.r_[True, work[order][1:] < least[:-1]]
        order = order[better]
        if len(order) > _MOST_PAIRS:
            interval = memory[order] * _MOST_PAIRS // (budget + 1)
            last = np.r_[interval[1:] != interval[:-1], True]
            last[0] = True  # the least memory stays, so that what is possible remains
            order = order[last]
        origins = list(zip(part[order].tolist(), place[order].tolist(), strict=True))
        return cls(memory[order], work[order], origins)
