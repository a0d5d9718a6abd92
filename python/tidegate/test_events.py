# SPDX-License-Identifier: Apache-2.0
import json
import os
import re
from typing import Any

import pytest

from tidegate.events import Events, asked


def written(form: Any, message: str, **details: object) -> str:
    """What one event comes to, without the time of lines for people."""
    read, write = os.pipe()
    Events("p", form, write).warning(message, **details)
    os.close(write)
    with open(read, encoding="utf-8") as lines:
        return re.sub(r"^\d\d:\d\d:\d\d ", "", lines.read())


def test_values_for_people_stay_in_their_line_or_are_indented() -> None:
    said = written("human", "a\nb\x1b[2J", why="a b", who="me", none=None, trace="one\n\x1b[2Jtwo\n")
    assert said == 'p: warning: a b?[2J why="a b" who=me\n    one\n    ?[2Jtwo\n'


def test_nothing_but_its_end_ends_a_line_of_json() -> None:
    said = written("json", "a\nb\u2028c\x85", trace="one\ntwo")
    assert len(said.splitlines()) == 1
    entry = json.loads(said)
    assert (entry["message"], entry["trace"]) == ("a\nb\u2028c\x85", "one\ntwo")
    assert (entry["level"], entry["process"]) == ("warning", "p")


def test_the_form_is_that_of_the_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    for form in ("human", "json", "auto"):
        monkeypatch.setenv("TIDEGATE_LOG_FORMAT", form)
        assert asked() == form
    monkeypatch.setenv("TIDEGATE_LOG_FORMAT", "nonsense")
    assert asked() == "auto"
