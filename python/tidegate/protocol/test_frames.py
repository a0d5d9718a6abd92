# SPDX-License-Identifier: Apache-2.0
import os

import pytest

from tidegate.protocol import MAX_FRAME, Decoder, Message, ProtocolError, Refused, encode
from tidegate.protocol.frames import check


def test_a_frame_is_its_length_and_json() -> None:
    body = b'{"id":1,"type":"hello"}'
    assert encode({"id": 1, "type": "hello"}) == bytes([0, 0, 0, len(body)]) + body


def test_frames_may_arrive_byte_by_byte() -> None:
    messages: list[Message] = [{"id": 1, "text": "é"}, {"id": 2}]
    wire = b"".join(encode(message) for message in messages)
    decoder = Decoder()
    assert [found for at in range(len(wire)) for found in decoder.feed(wire[at : at + 1])] == messages


def test_several_frames_may_arrive_at_once() -> None:
    decoder = Decoder()
    assert decoder.feed(encode({"a": 1}) + encode({"b": 2}) + b"\x00") == [{"a": 1}, {"b": 2}]
    assert decoder.feed(encode({"c": 3})[1:]) == [{"c": 3}]


def test_a_frame_over_the_limit_is_refused_from_its_length_alone() -> None:
    with pytest.raises(ProtocolError, match="over the limit"):
        Decoder().feed((MAX_FRAME + 1).to_bytes(4, "big"))


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"1", b"\xff"])
def test_a_frame_that_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        Decoder().feed(len(body).to_bytes(4, "big") + body)


def test_descriptors_are_taken_in_the_order_they_came() -> None:
    read, write = os.pipe()
    decoder = Decoder()
    decoder.feed(b"", [read])
    decoder.feed(encode({}), [write])
    assert decoder.take(2) == [read, write]
    with pytest.raises(ProtocolError, match="names 1 descriptors, 0 came"):
        decoder.take(1)
    os.close(read)
    os.close(write)


def test_descriptors_that_nobody_took_are_closed() -> None:
    read, write = os.pipe()
    decoder = Decoder()
    decoder.feed(b"", [read, write])
    decoder.close()
    with pytest.raises(OSError):
        os.fstat(read)


def test_a_refusal_carries_every_problem() -> None:
    problems = [{"where": "a:1", "message": "one"}, {"where": "b:2", "message": "two"}]
    with pytest.raises(Refused, match="a:1: one; b:2: two") as caught:
        check({"id": 1, "ok": False, "problems": problems, "snapshot": 7})
    assert caught.value.problems == problems
    assert caught.value.reply["snapshot"] == 7
