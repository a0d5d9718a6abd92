# SPDX-License-Identifier: Apache-2.0
"""`tools/generate.py`: what it makes of models, and what it says when something is stale."""

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from tidegate.config.base import Model
from tidegate.config.marks import Choice, ControlOnly
from tidegate.config.rooms import Rooms
from tidegate.config.secret import Secret
from tidegate.config.types import ByteSize, Duration, Flag, Name
from tools import generate
from tools._generate.rust import RustFile, Unknown


class Inner(Model):
    """Inside."""

    word: Annotated[Literal["one_way", "two"], Choice("Word", doc="A word.")] = "two"
    """Which."""


class Outer(Model):
    """Has a field of
    every kind."""

    match: Name
    """A keyword of Rust."""
    flag: Flag = True
    """Yes or no."""
    small: Annotated[int, Field(ge=0, le=255)] = 0
    """Fits a byte."""
    large: Annotated[int, Field(ge=1, le=256)] = 1
    """Does not."""
    wait: Duration | None = None
    """How long."""
    sizes: list[ByteSize] = Field(default_factory=list)
    """How large."""
    pairs: list[tuple[Name, Name]] = Field(default_factory=list)
    """Two by two."""
    secret: Secret
    """Hidden."""
    room: Annotated[Model | None, Rooms("balancing", optional=True)] = None
    """A room."""
    inner: Inner = Inner()
    """Inside."""
    count: Annotated[int, Field(ge=1, le=9)] | Literal["auto"] = "auto"
    """A number or a word."""
    path: Annotated[Name | None, ControlOnly()] = None
    """Not sent."""


def test_fields_become_rust_by_their_type() -> None:
    file = RustFile()
    file.model(Outer)
    text = file.text("somewhere", crate="crate")
    for line in (
        "use crate::{Millis, Octets, Room, Text};",
        "/// Has a field of every kind.",
        "pub struct Outer {",
        '    #[serde(rename = "match")]\n    pub matches: String,',
        "    /// Yes or no.\n    pub flag: bool,",
        "    pub small: u8,",
        "    pub large: u16,",
        "    pub wait: Option<Millis>,",
        "    pub sizes: Vec<Octets>,",
        "    pub pairs: Vec<(String, String)>,",
        "    pub secret: Text,",
        "    pub room: Option<Room>,",
        "    pub inner: Inner,",
        "    pub count: u8,",
        "/// A word.\n#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]\n"
        '#[serde(rename_all = "snake_case")]\npub enum Word {\n    OneWay,\n    Two,\n}',
    ):
        assert line in text
    assert "path" not in text
    assert text.index("pub struct Outer") < text.index("pub struct Inner") < text.index("pub enum Word")


@pytest.mark.parametrize(
    ("annotation", "says"),
    [
        (int, "Bad.field: an int needs bounds"),
        (Annotated[int, Field(ge=-1, le=5)], "an int needs bounds"),
        (float, "is not one of the types"),
        (dict[str, Any], "is not one of the types"),
        (str | int, "a union of"),
        (Any, "is not one of the types"),
    ],
)
def test_anything_outside_the_closed_list_stops_the_generator(annotation: Any, says: str) -> None:
    bad: type[Model] = type(
        "Bad", (Model,), {"__annotations__": {"field": annotation}, "__module__": __name__}
    )
    with pytest.raises(Unknown, match=says):
        RustFile().model(bad)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr(generate, "outputs", lambda: iter([("a/one.rs", "one\n"), ("two.md", "two\n")]))
    return tmp_path


def test_it_writes_what_is_stale_and_then_has_nothing_to_say(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate.main([]) == 0
    assert (checkout / "a/one.rs").read_text() == "one\n"
    assert capsys.readouterr().out == "wrote a/one.rs\nwrote two.md\n"
    assert generate.main(["--check"]) == 0
    assert capsys.readouterr().out == ""


def test_a_check_names_what_is_stale_and_the_command_that_mends_it(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generate.main([])
    (checkout / "two.md").write_text("edited")
    capsys.readouterr()
    assert generate.main(["--dry-run"]) == 0
    assert generate.main(["--check"]) == 1
    told = capsys.readouterr()
    assert told.out == "stale: two.md\n" * 2
    assert "run `python tools/generate.py`" in told.err
    assert (checkout / "two.md").read_text() == "edited"


def test_files_of_rooms_that_are_gone_are_removed(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generate.main([])
    gone = checkout / "crates/balancing/src/old/config.rs"
    gone.parent.mkdir(parents=True)
    gone.write_text("old")
    assert generate.main(["--check"]) == 1
    assert "left over: crates/balancing/src/old/config.rs" in capsys.readouterr().out
    assert generate.main([]) == 0
    assert not gone.exists()
