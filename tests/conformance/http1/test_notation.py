# SPDX-License-Identifier: Apache-2.0
"""The case files' notation, and that the player sees what is wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.conformance.http1 import cases
from tests.conformance.http1.player import Target, play
from tidegate.testing import Reply, endpoint


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("a\nb", b"a\r\nb"),
        (r"\r\n\t\0\\", b"\r\n\t\0\\"),
        (r"\x00\xff", b"\x00\xff"),
        ("<<ab*3>>", b"ababab"),
        (r"<<\x20*2>>", b"  "),
        ("\xe9", b"\xe9"),
    ],
)
def test_the_notation_stands_for_bytes(text: str, data: bytes):
    assert cases.decode(text) == data


def test_an_unknown_escape_is_an_error():
    with pytest.raises(ValueError, match="unknown escape"):
        cases.decode(r"\q")


def test_the_player_says_what_differs():
    """A server that answers everything with 200 must fail a case that wants a refusal."""
    refusal = next(case for case in cases.load() if case.id == "host-refused/path")
    with endpoint(respond=Reply(200, [("via", "1.1 x")])) as server:
        played = play(refusal, Target((server.host, server.port), server, timeout=1))
    assert any("statuses" in problem for problem in played.problems), played.problems


def test_the_player_misses_nothing_that_reached_the_endpoint():
    case = next(case for case in cases.load() if case.id == "keep-alive")
    expect = replace(case.expect, endpoint=case.expect.endpoint[:1] if case.expect.endpoint else None)
    with endpoint() as server:
        played = play(replace(case, expect=expect), Target((server.host, server.port), server, timeout=1))
    assert any("reached the endpoint" in problem for problem in played.problems), played.problems
