# SPDX-License-Identifier: Apache-2.0
"""Reads endpoints from a file whenever it changes."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from tidegate.config.backend import Endpoint
from tidegate.config.data import plain_scalar
from tidegate.config.errors import message
from tidegate.config.nodes import Malformed, Mapping, Node, Scalar, Sequence, compose
from tidegate.discovery.file.model import FileDiscovery
from tidegate.discovery.report import Report

_LARGEST: Final = 8 << 20
_QUIET: Final = 0.1
"""Seconds that a file must have been left alone: half of it may be a valid list as well."""
Stamp = tuple[int, int, int, int] | None


async def follow(settings: FileDiscovery, report: Report, folder: Path) -> None:
    """Tells what the file holds, now and after each change.

    It is looked at and not watched by the kernel: that also holds on network file systems and through the
    symbolic links by which whole folders are replaced.

    Args:
        folder: What the path is relative to.
    """
    path = folder / settings.path
    seen: Stamp | str = "never"
    while True:
        stamp = _stamp(path)
        if stamp != seen:
            await asyncio.sleep(_QUIET)
            if _stamp(path) == stamp:
                seen = stamp
                await asyncio.to_thread(_tell, path, report, asyncio.get_running_loop())
            continue
        report.unchanged()
        await asyncio.sleep(int(settings.interval) / 1000)


def _stamp(path: Path) -> Stamp:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_dev, found.st_mtime_ns, found.st_size


def _tell(path: Path, report: Report, loop: asyncio.AbstractEventLoop) -> None:
    try:
        endpoints = read(path)
    except ValueError as error:
        loop.call_soon_threadsafe(report.failed, str(error))
    else:
        loop.call_soon_threadsafe(report.found, endpoints)


def read(path: Path) -> list[Endpoint]:
    """The endpoints in a file: a list, or a mapping whose `endpoints` is one.

    Each is written as in the configuration. `${...}` has no meaning here: whoever writes the file is not to
    read others.

    Raises:
        ValueError: `file:line:column: path: what is wrong`, one line for each mistake.
    """
    try:
        with open(path, "rb") as stream:
            content = stream.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise ValueError(f"{path}: is larger than 8 MiB")
        root = compose(content.decode("utf-8-sig"))
    except OSError as error:
        raise ValueError(f"{path}: can not be read: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: is not UTF-8; save it as UTF-8") from None
    except Malformed as error:
        raise ValueError(f"{path}:{error.line + 1}:{error.column + 1}: {error}") from None
    if isinstance(root, Mapping) and len(root.pairs) == 1:
        key, value = root.pairs[0]
        root = value if isinstance(key, Scalar) and key.text == "endpoints" else root
    if not isinstance(root, Sequence):
        at = f":{root.line + 1}:{root.column + 1}" if root is not None else ""
        raise ValueError(f"{path}{at}: must be a list of endpoints, or `endpoints:` and one")
    return _endpoints(path, root)


def _endpoints(path: Path, root: Sequence) -> list[Endpoint]:
    found: dict[str, Endpoint] = {}
    problems: list[str] = []
    for number, node in enumerate(root.items):
        where = f"{path}:{node.line + 1}:{node.column + 1}: {number}"
        try:
            endpoint = Endpoint.model_validate(_data(node))
        except ValidationError as error:
            for each in error.errors(include_url=False):
                inside = "".join(f".{part}" for part in each["loc"])
                problems.append(f"{where}{inside}: {message(each)}")
            continue
        except ValueError as error:
            problems.append(f"{where}: {error}")
            continue
        if endpoint.address in found:
            problems.append(f"{where}: `{endpoint.address}` is there twice; keep one")
        found[endpoint.address] = endpoint
    if problems:
        raise ValueError("\n".join(problems))
    return list(found.values())


def _data(node: Node) -> Any:
    """Plain values of one endpoint, which is not deep."""
    if isinstance(node, Scalar):
        return plain_scalar(node.text) if node.plain else node.text
    if isinstance(node, Sequence):
        return [_data(item) for item in node.items]
    data: dict[str, Any] = {}
    for key, value in node.pairs:
        if not isinstance(key, Scalar) or key.text in data:
            raise ValueError("has a key twice, or one that is no text")
        data[key.text] = _data(value)
    return data
