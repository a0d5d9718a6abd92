# SPDX-License-Identifier: Apache-2.0
import asyncio
import os
import time
from pathlib import Path

import pytest

from tidegate.testing import light

from .compare import run
from .mutants import MUTANTS, build, environment

_ROOT = Path(__file__).parents[3]
# A run ends with the first that shows a difference; what shows least needs thirty or so.
_CONFIGURATIONS = 400
_REQUESTS = 250


@pytest.fixture(scope="module")
def broken_engine() -> Path:
    return build(_ROOT / "target" / "mutants")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", range(len(MUTANTS)), ids=[mutant.name for mutant in MUTANTS])
def test_a_broken_engine_is_noticed(
    number: int, broken_engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(light, "environment", lambda: environment(broken_engine, number))
    seed = int(os.environ.get("TIDEGATE_SEED", str(time.time_ns())))
    print(f"TIDEGATE_SEED={seed}")
    outcome = asyncio.run(run(seed, _CONFIGURATIONS, _REQUESTS, until_different=True))
    assert outcome.differences


def test_the_engine_with_all_mutants_asleep_is_sound(
    broken_engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(light, "environment", lambda: environment(broken_engine, None))
    outcome = asyncio.run(run(7, 4, _REQUESTS))
    assert outcome.differences == []
