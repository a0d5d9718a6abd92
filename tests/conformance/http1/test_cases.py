# SPDX-License-Identifier: Apache-2.0
"""Every case of cases/*.yaml against a real gateway, one test each. See README.md."""

from __future__ import annotations

import collections

import pytest

from tests.conformance.http1 import cases
from tests.conformance.http1.cases import Case
from tests.conformance.http1.player import play
from tests.conformance.http1.targets import Targets

CASES = cases.load()
OWED = {"1.9", *map(str, [*range(1, 7), *range(11, 21), *range(22, 27), *range(29, 37)])}
"""Rows of the catalogue (§2.1, §2.2) that need HTTP/1.1 alone; 27 and 28 are properties of the router."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_case(case: Case, targets: Targets):
    played = play(case, targets.get(case.gateway))
    assert not played.problems, f"\n{played}"


def test_every_row_that_is_owed_has_cases():
    rows = collections.Counter(case.row for case in CASES if case.since == "spine")
    assert not {row for row in OWED if not rows[row]}
    assert sum(rows.values()) >= 250


def test_sixty_malformed_responses_and_two_hundred_codings_are_tried():
    families = collections.Counter(case.id.split("/")[0] for case in CASES)
    assert families["response-malformed"] >= 60
    assert families["te-disguised-with-length"] + families["te-disguised-alone"] >= 200
