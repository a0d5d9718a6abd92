# SPDX-License-Identifier: Apache-2.0
"""Conditions in CEL, the Common Expression Language, judged by the engine that will compute them."""

from __future__ import annotations


def condition(text: str) -> str:
    """A condition as it is written.

    Raises:
        ValueError: It is none, uses what there is not, or puts together what does not fit; with its place.
    """
    from tidegate import _engine

    if problem := _engine.condition_problem(text):
        raise ValueError(problem)
    return text
