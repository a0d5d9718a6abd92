# SPDX-License-Identifier: Apache-2.0
"""Settings that a worker is told, and the code that is handed them; written by hand as the node does."""

from __future__ import annotations

import struct

import pytest

from tidegate.functions.conftest import REQUEST, Start, eventually, frame

SETTINGS = 6
CODE = """
    from tidegate import Response, policy

    class Tier:
        def __init__(self, text):
            self.text = text

        @classmethod
        def model_validate_json(cls, text):
            if text == "broken":
                raise ValueError("no tier")
            return cls(text)

    @policy
    async def f(request, settings):
        return Response(f"{type(settings).__name__} {settings.text}")

    @policy
    def plain(request, settings):
        return Response(f"plain {settings.text}")

    @policy
    async def none(request):
        return Response("none")
"""


def named(head: tuple[int, bytes], settings: int) -> tuple[int, bytes]:
    """A request that names settings: a flag, and their number behind the deadline."""
    number, data = head
    payload = data[9:]
    fresh = bytes([payload[0] | 4]) + payload[1:6] + struct.pack(">I", settings) + payload[6:]
    return number, frame(REQUEST, number, fresh)


@pytest.mark.parametrize(("handler", "word"), [("f", "Tier"), ("plain", "plain")])
def test_a_request_is_handed_the_settings_it_names(start: Start, handler: str, word: str) -> None:
    node = start(CODE, "policy", handler=f"shop_code:{handler}", settings="shop_code:Tier").node()

    def ask(settings: int) -> bytes:
        node.socket.sendall(named(node.head(), settings)[1])
        return node.next().body

    for number, text in ((1, "gold"), (2, "silver")):
        node.send(SETTINGS, number, struct.pack(">I", len(text)) + text.encode())
    assert [ask(each) for each in (1, 2, 1)] == [
        f"{word} {text}".encode() for text in ("gold", "silver", "gold")
    ]
    # A number may stand for others later.
    node.send(SETTINGS, 1, struct.pack(">I", 4) + b"lead")
    assert [ask(each) for each in (1, 2)] == [f"{word} lead".encode(), f"{word} silver".encode()]


def test_settings_that_the_class_refuses_fail_that_request_alone(start: Start) -> None:
    worker = start(CODE, "policy", settings="shop_code:Tier")
    node = worker.node()
    node.send(SETTINGS, 1, struct.pack(">I", 6) + b"broken")
    node.send(SETTINGS, 2, struct.pack(">I", 4) + b"gold")
    for number, kind in ((1, "error"), (2, "respond"), (1, "error")):
        node.socket.sendall(named(node.head(), number)[1])
        assert node.next().kind == kind
    eventually(lambda: any("no tier" in str(line) for line in worker.log()))


@pytest.mark.parametrize("told", [0, (1 << 16) + 1])
def test_a_number_out_of_bounds_ends_the_connection(start: Start, told: int) -> None:
    node = start(CODE, "policy", settings="shop_code:Tier").node()
    node.send(SETTINGS, told, struct.pack(">I", 2) + b"{}")
    with pytest.raises(EOFError):
        node.next()


def test_settings_that_were_not_told_end_the_connection(start: Start) -> None:
    node = start(CODE, "policy", settings="shop_code:Tier").node()
    node.socket.sendall(named(node.head(), 1)[1])
    with pytest.raises(EOFError):
        node.next()


@pytest.mark.parametrize(
    ("handler", "settings", "says"),
    [
        ("f", "", "takes `settings`: it is for a policy whose settings a class of its own has"),
        ("none", "shop_code:Tier", "has no parameter `settings`, and is that of a policy with settings"),
        ("f", "shop_code:Tear", "has no 'Tear'; did you mean 'Tier'?"),
        ("f", "shop_code:f", "'shop_code:f' is no class of settings"),
    ],
)
def test_code_and_settings_that_do_not_fit_are_told(
    start: Start, handler: str, settings: str, says: str
) -> None:
    worker = start(CODE, "policy", handler=f"shop_code:{handler}", settings=settings, is_ready=False)
    assert says in str(worker.ready["problem"])
