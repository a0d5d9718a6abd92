# SPDX-License-Identifier: Apache-2.0
"""Conditions in CEL, the Common Expression Language, judged by the engine that will compute them."""

from __future__ import annotations


def condition(text: str) -> str:
    """A condition as it is written.

    Raises:
        ValueError: It is none, uses what there is not, or puts together what does not fit; with its place.
    """
    from tidegate import _engine

    if problem := _engine.condition_problem(text, False):
        raise ValueError(problem)
    return text


def request_condition(text: str) -> str:
    """A condition on requests, for which there is no response yet.

    Raises:
        ValueError: As in `condition`, and where it asks about the response.
    """
    from tidegate import _engine

    if problem := _engine.condition_problem(text, True):
        raise ValueError(problem)
    return text
