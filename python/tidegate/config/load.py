# SPDX-License-Identifier: Apache-2.0
"""Files to models, with every mistake at its place."""

from __future__ import annotations

import os
from collections.abc import Mapping as AbstractMapping
from collections.abc import Sequence as AbstractSequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from tidegate.config.check import check
from tidegate.config.collection import no_collection
from tidegate.config.data import Reader, plain_scalar
from tidegate.config.draft import Draft
from tidegate.config.errors import message
from tidegate.config.gateway import Gateway
from tidegate.config.nodes import Malformed, Mapping, Node, Scalar, Sequence, compose
from tidegate.config.pieces import PieceCache
from tidegate.config.places import Entry, Places, Section, SourceFile
from tidegate.config.problem import ConfigError, Problem

_LARGEST_FILE: Final = 64 << 20
_NUMERIC: Final = ("int_type", "bool_type", "number_or_word")
_SUFFIXES: Final = (".yaml", ".yml", ".json")


@dataclass(slots=True)
class Loaded:
    """A configuration that was read without mistakes."""

    gateway: Gateway
    places: Places
    """Where its parts stand."""
    files: list[Path]
    """Everything it was read from, `${file:...}` included: what to watch."""
    folder: Path
    """What relative paths of its functions start from: the first file's folder."""


def load(*paths: str | os.PathLike[str], environment: AbstractMapping[str, str] | None = None) -> Loaded:
    """Reads a file, a folder of files, or several of them, merged.

    Maps merge; routes concatenate in the order of file names.

    Args:
        environment: What `${env:NAME}` reads; this process's environment if left out.

    Raises:
        ConfigError: Every mistake in every file.
    """
    loader = Loader(environment=environment)
    return loader.load(*paths)


def loads(
    text: str,
    name: str = "<text>",
    *,
    folder: Path | None = None,
    environment: AbstractMapping[str, str] | None = None,
) -> Loaded:
    """Reads a configuration from a text.

    Args:
        name: What messages call it.
        folder: What `${file:...}` is relative to; the current folder if left out.

    Raises:
        ConfigError: Every mistake in it.
    """
    return Loader(environment=environment).loads([(name, folder or Path.cwd(), text)])


class Loader:
    """Reads configurations; keeps what it read, so that reading again costs what has changed."""

    def __init__(self, *, environment: AbstractMapping[str, str] | None = None) -> None:
        self._environment = environment
        self._cache = PieceCache()

    def load(self, *paths: str | os.PathLike[str]) -> Loaded:
        """As the function `load`."""
        texts: list[tuple[str, Path, str]] = []
        problems: list[Problem] = []
        found = [file for path in paths for file in _files(Path(path), problems)]
        found.sort(key=lambda file: file.name)
        for file in found:
            text = _read(file, problems)
            if text is not None:
                texts.append((str(file), file.parent, text))
        if problems:
            raise ConfigError(problems)
        loaded = self.loads(texts)
        if not loaded.places.sections:
            # Else a file cut short by an editor or a full disk would close every listener.
            says = "holds nothing; `tidegate init` writes a file to begin with"
            raise ConfigError([Problem(says, file=texts[0][0])])
        loaded.files = [*found, *(path for path in loaded.files if path not in found)]
        return loaded

    def loads(self, texts: AbstractSequence[tuple[str, Path, str]]) -> Loaded:
        """Reads texts given as (name, folder, text), in this order."""
        with no_collection():
            return self._loads(texts)

    def _loads(self, texts: AbstractSequence[tuple[str, Path, str]]) -> Loaded:
        environment = os.environ if self._environment is None else self._environment
        problems: list[Problem] = []
        places = Places(texts[0][0] if texts else "")
        merged: dict[str, Any] = {}
        self._cache.begin()
        for name, folder, text in texts:
            file = SourceFile(name, Reader(folder, environment))
            places.files.append(file)
            data = self._cache.read(file, text)
            if data is None:
                data = _parse(file, text, problems)
                routes = data.get("routes") if data is not None else None
                self._cache.read_whole(len(routes) if isinstance(routes, list) else 0)
            if data is not None:
                _merge(merged, data, file, places, problems)
        gateway = _validate(merged, places, problems)
        if problems or gateway is None:
            raise ConfigError(_sorted(problems, places))
        self._cache.keep(gateway.routes)
        outside = sorted({path for file in places.files for path in file.reader.files})
        return Loaded(gateway, places, outside, texts[0][1] if texts else Path.cwd())


def _files(path: Path, problems: list[Problem]) -> list[Path]:
    if path.is_dir():
        found = sorted(
            file for file in path.iterdir() if file.suffix in _SUFFIXES and not file.name.startswith(".")
        )
        if not found:
            problems.append(Problem("holds no `*.yaml` files", file=str(path)))
        return found
    return [path]


def _read(file: Path, problems: list[Problem]) -> str | None:
    if file.suffix == ".py":
        says = f"is Python; write `{file.stem}:gateway`, with the name that the gateway has in it"
        problems.append(Problem(says, file=str(file)))
        return None
    try:
        with open(file, "rb") as stream:
            content = stream.read(_LARGEST_FILE + 1)
        if len(content) > _LARGEST_FILE:
            raise OSError(0, "larger than 64 MiB")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problems.append(Problem("is not UTF-8; save it as UTF-8", file=str(file), line=line))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        hint = "; `tidegate init` writes one to begin with" if isinstance(error, FileNotFoundError) else ""
        if isinstance(error, FileNotFoundError) and file.with_name(file.name + ".py").is_file():
            hint = f"; for the gateway in {file.name}.py write `{file.name}:gateway`"
        problems.append(Problem(f"can not be read: {reason}{hint}", file=str(file)))
    return None


def _parse(file: SourceFile, text: str, problems: list[Problem]) -> dict[str, Any] | None:
    """The data of one file; `None` if its form is broken."""
    try:
        root = compose(text)
    except Malformed as error:
        problems.append(Problem(str(error), file=file.name, line=error.line + 1, column=error.column + 1))
        return None
    if root is None or (type(root) is Scalar and root.plain and not root.text):
        return {}
    if type(root) is not Mapping:
        problems.append(
            Problem("must be a mapping with `listeners`, `routes`, ...", file=file.name, line=1, column=1)
        )
        return None
    file.root = root
    data: dict[str, Any] = file.reader.data(root)
    for node, says in file.reader.mistakes:
        problems.append(Problem(says, file=file.name, line=node.line + 1, column=node.column + 1))
    return data


def _merge(
    merged: dict[str, Any], data: dict[str, Any], file: SourceFile, places: Places, problems: list[Problem]
) -> None:
    """Adds one file's sections to what the files before it said."""
    if file.root is None:
        return
    seen: set[str] = set()
    for key, node in file.root.pairs:
        if type(key) is not Scalar or key.text not in data or key.text in seen:
            continue
        seen.add(key.text)
        value = data[key.text]
        # A section whose entries are all commented out.
        if value is None:
            continue
        section = places.sections.setdefault(key.text, Section(Entry(file, key, node)))
        _add_entries(section, file, node)
        before = merged.get(key.text)
        if before is None:
            merged[key.text] = value
        elif isinstance(before, dict) and isinstance(value, dict):
            for name in value.keys() & before.keys():
                problems.append(_twice(key.text, name, file, node, section))
            merged[key.text] = {**value, **before}
        elif isinstance(before, list) and isinstance(value, list):
            merged[key.text] = before + value
        else:
            problems.append(
                Problem(
                    "is another kind of value than in the file before",
                    key.text,
                    file.name,
                    key.line + 1,
                    key.column + 1,
                )
            )


def _add_entries(section: Section, file: SourceFile, node: Node) -> None:
    if type(node) is Sequence:
        lines = file.routes_at if file.routes_at is not None and node.items else [0] * len(node.items)
        section.listed.extend(
            Entry(file, item, item, line) for item, line in zip(node.items, lines, strict=True)
        )
    elif type(node) is Mapping:
        for key, value in node.pairs:
            if type(key) is Scalar:
                section.named.setdefault(key.text, Entry(file, key, value))


def _twice(section: str, name: str, file: SourceFile, node: Node, before: Section) -> Problem:
    assert type(node) is Mapping
    key = next(key for key, _ in node.pairs if type(key) is Scalar and key.text == name)
    first = before.named[name]
    says = f"is given twice, first in {first.file.name}:{first.key.line + 1}; keep one"
    return Problem(says, f"{section}.{name}", file.name, key.line + 1, key.column + 1)


def _validate(merged: dict[str, Any], places: Places, problems: list[Problem]) -> Gateway | None:
    gateway: Gateway | None = None
    mistaken = list(problems)
    spots = {(problem.file, problem.line, problem.column) for problem in mistaken}
    try:
        gateway = _with_numbers(merged, places)
        draft = Draft.of(gateway)
    except ValidationError as error:
        for found in error.errors(include_url=False):
            problem = _located(found, places)
            # What a broken `${...}` leads to is not said again.
            if (problem.file, problem.line, problem.column) not in spots:
                problems.append(problem)
        draft = Draft.sound_parts(merged)
    lines = {(problem.file, problem.line) for problem in mistaken}
    for path, says in check(draft):
        problem = places.problem(path, says)
        # A key given twice, say, makes two routes alike only because the second one was left out.
        if (problem.file, problem.line) not in lines:
            problems.append(problem)
    return gateway


def _with_numbers(merged: dict[str, Any], places: Places) -> Gateway:
    """The gateway, with `${env:PORT}` read as a number where one is wanted."""
    try:
        return Gateway.model_validate(merged)
    except ValidationError as error:
        wanted = [found["loc"] for found in error.errors() if found["type"] in _NUMERIC]
    for loc in wanted:
        found = places.find(loc)
        text = found.file.reader.alone.get(id(found.node)) if found is not None else None
        if found is not None and text is not None:
            _put(merged, found.path, plain_scalar(text))
    return Gateway.model_validate(merged)


def _put(data: Any, path: AbstractSequence[int | str], value: Any) -> None:
    for part in path[:-1]:
        data = data[part]
    data[path[-1]] = value


def _located(found: Any, places: Places) -> Problem:
    loc: tuple[int | str, ...] = found["loc"]
    kind = found["type"]
    if kind == "unknown_key":
        return places.problem(loc, message(found) + _perhaps_inside(loc, places), at_key=True)
    if kind == "missing":
        return places.problem(loc[:-1], message(found), missing=str(loc[-1]))
    if loc and loc[-1] == "[key]":
        return places.problem(loc[:-1], message(found), at_key=True)
    written = places.hidden(loc)
    if written is not None and kind in ("text", "duration", "byte_size", "form", "rule", "room", "room_type"):
        return places.problem(loc, f"what `{written}` stands for does not fit here")
    return places.problem(loc, message(found))


def _perhaps_inside(loc: tuple[int | str, ...], places: Places) -> str:
    """What to add for a key at the left edge that may belong to the empty section before it."""
    found = places.find(loc) if len(loc) == 1 else None
    root = found.file.root if found is not None else None
    if found is None or root is None:
        return ""
    before: Node | None = None
    for key, value in root.pairs:
        if key is found.key:
            break
        before = key if type(value) is Scalar and value.plain and not value.text else None
    if type(before) is not Scalar or before.text not in Gateway.model_fields:
        return ""
    return f"; if it belongs to `{before.text}` on line {before.line + 1}, indent it"


def _sorted(problems: list[Problem], places: Places) -> list[Problem]:
    order = {file.name: number for number, file in enumerate(places.files)}
    return sorted(set(problems), key=lambda each: (order.get(each.file, -1), each.line, each.column))
