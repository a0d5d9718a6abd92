# SPDX-License-Identifier: Apache-2.0
"""The balancers as their rules read. Endpoints are positions in a list of weights; weight 0 takes nothing."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from fractions import Fraction

Weights = Sequence[int]


def shares(weights: Weights) -> list[Fraction]:
    """What each gets when all are equally busy: as its weight is to the sum. The same for both balancers."""
    return [Fraction(weight, sum(weights)) for weight in weights]


def rotation(weights: Weights, picks: int) -> list[int]:
    """`round_robin` with equal weights: one after the other, from the first."""
    usable = [position for position, weight in enumerate(weights) if weight]
    return [usable[turn % len(usable)] for turn in range(picks)]


def unevenness(picks: Sequence[int], weights: Weights) -> Fraction:
    """How far any endpoint ever was from its share, in picks: what "evenly spread, not in bursts" bounds."""
    counts, furthest = [0] * len(weights), Fraction(0)
    for turn, picked in enumerate(picks, 1):
        counts[picked] += 1
        off = (abs(count - turn * share) for count, share in zip(counts, shares(weights), strict=True))
        furthest = max(furthest, *off)
    return furthest


def least_request(in_flight: Sequence[int], weights: Weights, choices: int, draw: random.Random) -> int:
    """Of `choices` distinct ones drawn by weight: the fewest requests per weight, then the first drawn."""
    line = {position: weight for position, weight in enumerate(weights) if weight}
    drawn: list[int] = []
    while line and len(drawn) < choices:
        [position] = draw.choices(list(line), list(line.values()))
        del line[position]
        drawn.append(position)
    return min(drawn, key=lambda position: Fraction(in_flight[position], weights[position]))


def least_connections(in_flight: Sequence[int], weights: Weights) -> list[int]:
    """Those with the fewest requests per weight, who take turns."""
    loads = [
        Fraction(load, weight) if weight else None for load, weight in zip(in_flight, weights, strict=True)
    ]
    least = min(load for load in loads if load is not None)
    return [position for position, load in enumerate(loads) if load == least]


class PeakEwma:
    """What `peak_ewma` knows of one endpoint: an average that jumps up at once and forgets with time."""

    def __init__(self, decay: float) -> None:
        self.decay, self.value, self.at = decay, 0.0, 0.0

    def observe(self, latency: float, now: float) -> None:
        """An answer took so long."""
        kept = math.exp((self.at - now) / self.decay)
        self.value = max(latency, self.value * kept + latency * (1 - kept))
        self.at = now

    def cost(self, in_flight: int, per_weight: float, now: float) -> float:
        """What one more request would take; endless for one that has never answered what it has."""
        if self.value == 0 and in_flight:
            return math.inf
        return self.value * math.exp((self.at - now) / self.decay) * (1 + in_flight / per_weight)


def simulate(
    weights: Weights, held: Sequence[int], choices: int, requests: int, at_a_time: int, draw: random.Random
) -> list[int]:
    """What each endpoint gets of `requests` when so many are under way at a time and end in any order."""
    in_flight, counts = list(held), [0] * len(weights)
    under_way: list[int] = []
    for _ in range(requests):
        if len(under_way) == at_a_time:
            in_flight[under_way.pop(draw.randrange(at_a_time))] -= 1
        picked = least_request(in_flight, weights, choices, draw)
        counts[picked] += 1
        in_flight[picked] += 1
        under_way.append(picked)
    return counts
