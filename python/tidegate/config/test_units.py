# SPDX-License-Identifier: Apache-2.0
"""Durations, sizes and secrets."""

import copy
import pickle
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from tidegate.config.base import Model
from tidegate.config.secret import Secret
from tidegate.config.units import ByteSize, Duration


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("1ms", 1),
        ("250ms", 250),
        ("5s", 5000),
        ("1.5s", 1500),
        ("2m", 120_000),
        ("1h", 3_600_000),
        ("1h30m", 5_400_000),
        ("1d", 86_400_000),
        ("366d", 366 * 86_400_000),
    ],
)
def test_durations_are_read_into_milliseconds(text: str, milliseconds: int) -> None:
    assert Duration(text) == milliseconds
    assert Duration(str(Duration(text))) == milliseconds


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("5", "`5` has no unit; write `5s` for seconds or `5ms` for milliseconds"),
        (5, "5 has no unit"),
        (0.5, "0.5 has no unit"),
        (True, "is no duration"),
        (None, "is no duration"),
        ("0s", "must be longer than 0"),
        ("soon", "`soon` is no duration; write it like `5s`, `250ms` or `1h`"),
        ("-5s", "is no duration"),
        ("5 s", "is no duration"),
        ("5S", "is no duration"),
        ("٥s", "is no duration"),
        ("0.5ms", "finer than a millisecond"),
        ("5s5m", "repeats or reverses its units"),
        ("5s5s", "repeats or reverses its units"),
        ("367d", "must be at most 366d"),
        ("1" * 5000 + "s", "is no duration"),
    ],
)
def test_what_is_no_duration_is_refused(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=r"(?s).") as caught:
        Duration(value)  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_durations_may_be_timedeltas_and_survive_copies() -> None:
    duration = Duration(timedelta(seconds=2))
    assert duration == 2000
    assert duration.seconds == 2
    for other in (copy.deepcopy(duration), pickle.loads(pickle.dumps(duration)), Duration(duration)):
        assert repr(other) == "Duration('2s')"


@given(st.integers(min_value=1, max_value=366 * 86_400_000))
def test_every_duration_is_read_back_as_written(milliseconds: int) -> None:
    assert Duration(str(Duration.of_ms(milliseconds))) == milliseconds


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("1B", 1),
        ("240B", 240),
        ("32KiB", 32768),
        ("10 MiB", 10 << 20),
        ("1.5KiB", 1536),
        ("1kB", 1000),
        ("1GB", 10**9),
    ],
)
def test_sizes_are_read_into_bytes(text: str, count: int) -> None:
    assert ByteSize(text) == count
    assert ByteSize(str(ByteSize(text))) == count


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("32", "`32` has no unit; write `32B`"),
        (32, "32 has no unit"),
        ("0B", "must be more than 0"),
        ("1.5B", "is not a whole number of bytes"),
        ("lots", "`lots` is no size; write it like `32KiB` or `10MiB`"),
        ("32kib", "is no size"),
        ("2000TiB", "must be at most"),
        ("9" * 40 + "B", "is no size"),
        ([], "is no size"),
    ],
)
def test_what_is_no_size_is_refused(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=r"(?s).") as caught:
        ByteSize(value)  # type: ignore[arg-type]
    assert message in str(caught.value)


class Holder(Model):
    """Holds a secret."""

    token: Secret
    """It."""


def test_a_secret_never_prints() -> None:
    secret = Secret("hunter2")
    holder = Holder(token=secret)
    shown = [
        str(secret),
        repr(secret),
        repr([secret]),
        repr({"a": secret}),
        repr(holder),
        str(holder),
        str(holder.model_dump()),
        holder.model_dump_json(),
        str(TypeAdapter(Holder).dump_python(holder)),
    ]
    assert not any("hunter2" in text for text in shown)
    assert secret.reveal() == "hunter2"
    assert secret == Secret("hunter2")
    assert secret != Secret("other")
    assert len({secret, Secret("hunter2")}) == 1


def test_a_secret_is_put_together_and_not_formatted() -> None:
    whole = "Bearer " + Secret("hunter2", "env:TOKEN") + "." + Secret("x", "file:sign")
    assert (whole.reveal(), whole.id, str(whole)) == (
        "Bearer hunter2.x",
        "env:TOKEN+file:sign",
        "(secret env:TOKEN+file:sign)",
    )
    for spec in ("", ">20"):
        with pytest.raises(TypeError, match="can not be formatted into a text"):
            format(whole, spec)
    with pytest.raises(TypeError):
        1 + whole


def test_a_secret_of_the_wrong_kind_is_not_repeated_in_the_message() -> None:
    with pytest.raises(Exception, match="must be text") as caught:
        Holder(token=123456)
    assert "123456" not in str(caught.value)


def test_a_secret_can_not_be_pickled() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret("hunter2"))
