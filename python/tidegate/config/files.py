# SPDX-License-Identifier: Apache-2.0
"""Files of a folder that the gateway sends by itself: `to: { files: ... }`."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from tidegate.config import patterns
from tidegate.config.base import Model, refuse
from tidegate.config.marks import Reads, Rule
from tidegate.config.types import ByteSize, Choice, Duration, FieldValue, FilePath, Flag, PathText

Symlinks = Annotated[
    Literal["inside", "refuse", "unsafe_anywhere"],
    Choice("Symlinks", doc="Which symbolic links are followed."),
]
ContentCoding = Annotated[
    Literal["zstd", "br", "gzip"], Choice("ContentCoding", doc="How a file's bytes were compressed.")
]


def file_name(text: str) -> str:
    """The name of one file, without folders."""
    if not text or text in (".", "..") or re.search(r"[/\\\x00-\x1f\x7f]", text) or len(text.encode()) > 255:
        raise ValueError(f"`{text[:60]}` is no name of a file; write one without folders, such as index.html")
    return text


def ending(text: str) -> str:
    """What a file's name ends with, from a dot on."""
    if not re.fullmatch(r"\.[A-Za-z0-9_+.-]{1,40}", text):
        raise ValueError(f"`{text[:60]}` is no ending of a name; write it with its dot, such as .html")
    return text


def media_type(text: str) -> str:
    """A media type, with or without parameters."""
    token = r"[A-Za-z0-9!#$&^_.+-]+"
    if not re.fullmatch(rf"{token}/{token}(\s*;\s*{token}=({token}|\"[^\"\\\x00-\x1f]*\"))*", text):
        raise ValueError(f"`{text[:60]}` is no media type; write one such as text/html")
    return text


def file_pattern(text: str) -> str:
    """A pattern over names below the root."""
    if not text or re.search(r"[\\\x00-\x1f\x7f?\[\]{}]", text) or ("/" in text and not text.startswith("/")):
        raise ValueError(
            f"`{text[:60]}` is no pattern; write `*.css` for names, or `/assets/**` for paths from the root"
        )
    return text


def charset(text: str) -> str:
    """The name of a charset."""
    if not re.fullmatch(r"[A-Za-z0-9!#$%&+^_`{}~-]{1,40}", text):
        raise ValueError(f"`{text[:60]}` is no name of a charset; write one such as utf-8")
    return text


Charset = Annotated[str, Rule(charset, "name of a charset")]
FileName = Annotated[str, Rule(file_name, "name of a file")]
Ending = Annotated[str, Rule(ending, "ending of a name, with its dot", r"^\.")]
MediaType = Annotated[str, Rule(media_type, "media type")]
FilePattern = Annotated[str, Rule(file_pattern, "pattern: `*` is anything but `/`, `**` anything")]


def _pairs(value: Any) -> Any:
    if isinstance(value, dict):
        return list(value.items())
    if isinstance(value, list | tuple):
        return value
    raise refuse("must be a mapping")


def _rules(value: Any) -> Any:
    return [("**", value)] if isinstance(value, str) else _pairs(value)


_MAPPING: dict[str, Any] = {"type": "object", "additionalProperties": {"type": "string"}}


class FileCache(Model):
    """What one thread remembers of a route's files."""

    validity: Duration | None = Duration("1s")
    """How long what was found under a name is believed; with `null` every request looks anew."""
    entries: Annotated[int, Field(ge=2, le=1_000_000, strict=True)] = 500
    """Names at a time; those not asked for any more are let go after some seconds."""
    file_size: ByteSize = ByteSize("64KiB")
    """Files up to this size are kept in memory, larger ones are kept open."""
    memory: ByteSize = ByteSize("16MiB")
    """Bytes of files in memory."""


class Files(Model):
    """Files of a folder, sent by the gateway itself. A text alone is the folder."""

    short_forms: ClassVar[tuple[Any, ...]] = ({"type": "string"},)

    type: Literal["files"] = "files"
    """Which kind of target it is."""
    root: FilePath
    """The folder, relative to the file that says so. What the route's prefix took is left out below it."""
    index: list[FileName] = Field(default_factory=lambda: ["index.html"])
    """What is sent for a folder: the first of these files that is there."""
    suffixes: list[Ending] = Field(default_factory=list)
    """Tried when a path names no file: with `.html`, `/about` is `about.html`."""
    fallback: PathText | None = None
    """The file for paths that name none, with a 200, when a page is asked for: `Accept` names HTML, or
    takes anything and the path's last segment has no dot. For applications of a single page."""
    listing: Flag = False
    """Whether a folder without index is listed, as a page or, for clients that prefer it, as JSON."""
    hidden: Flag = False
    """Whether names that begin with a dot can be asked for; `.well-known` can in any case."""
    symlinks: Symlinks = "inside"
    """Which symbolic links are followed: relative ones that stay below the root, none, or all."""
    precompressed: list[ContentCoding] = Field(default_factory=list)
    """Codings in which a file may lie beside itself, as `.zst`, `.br` or `.gz` that is no older; among
    those a client likes equally, the first one is sent."""
    types: Annotated[list[tuple[Ending, MediaType]], Reads(_pairs, _MAPPING, only=True)] = Field(
        default_factory=list
    )
    """Media types by the ending of names, before those known anyway."""
    charset: Charset = "utf-8"
    """The charset told of `text/*` without one."""
    cache_control: Annotated[
        list[tuple[FilePattern, FieldValue]], Reads(_rules, {"type": "string"}, _MAPPING, only=True)
    ] = Field(default_factory=list)
    """`Cache-Control` by pattern, the first that fits; a text alone is for every file."""
    ranges: Annotated[int, Field(ge=0, le=1000, strict=True)] = 16
    """Ranges of one request that are answered; one that asks for more gets the whole file."""
    cache: FileCache = FileCache()
    """What is remembered of files."""

    elsewhere: ClassVar[dict[str, str]] = {
        "try_files": "write `suffixes` or `fallback`, or `try_files` on the route, before a backend",
        "spa": "write `fallback: /index.html`",
        "autoindex": "write `listing`",
        "browse": "write `listing`",
        "gzip_static": "write `precompressed: [gzip]`",
        "expires": "write `cache_control`",
        "alias": "write `root`; what the route's path took is left out below it",
        "hide": "names that begin with a dot are hidden without a setting",
    }

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"root": value} if isinstance(value, str) else value

    @field_validator("fallback", mode="after")
    @classmethod
    def _file(cls, fallback: str | None) -> str | None:
        try:
            if fallback is None:
                return None
            if fallback.endswith("/"):
                raise ValueError("names a folder; write the file, such as /index.html")
            return patterns.path(fallback)
        except ValueError as error:
            raise refuse(str(error), "text") from None
