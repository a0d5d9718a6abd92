# SPDX-License-Identifier: Apache-2.0
"""Reads the configuration, from files or from a Python object, into something that can be applied."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tidegate.config.compile import Compiler
from tidegate.config.load import Loader
from tidegate.config.places import Places
from tidegate.config.problem import ConfigError, Problem
from tidegate.control.compiled import Compiled, Position, compile_all

IMPORT_TIMEOUT = 60.0
"""Seconds that importing `module:object` may take."""


def is_object(source: str) -> bool:
    """Whether a source is `module:object` and not a file."""
    module, colon, attribute = source.partition(":")
    parts = [*module.split("."), *attribute.split(".")]
    return bool(colon) and all(part.isidentifier() for part in parts) and not os.path.exists(source)


class Sources:
    """What a gateway is configured by; keeps what it read, so that reading again is cheap."""

    def __init__(self, sources: Sequence[str], runtime: Path, threads: int | None = None) -> None:
        """Takes the files, or the one `module:object`.

        Raises:
            ConfigError: Both kinds, or several objects.
        """
        self._sources = list(sources)
        self._runtime = runtime
        self._threads = threads
        self._loader = Loader()
        self._compiler = Compiler(runtime, threads)
        self._import = Import()
        self.is_object = any(is_object(source) for source in sources)
        if self.is_object and len(self._sources) > 1:
            raise ConfigError([Problem("give one module:object alone, or files", path=" ".join(sources))])

    def read(self) -> Compiled:
        """Reads and compiles everything; takes a while, so call it from a thread.

        Raises:
            ConfigError: With all mistakes.
        """
        if self.is_object:
            compiled = self._import.run(self._sources[0], self._runtime, self._threads)
        else:
            loaded = self._loader.load(*self._sources)
            compiled = compile_all(
                loaded.gateway,
                self._compiler,
                position_in(loaded.places),
                [path.absolute() for path in loaded.files],
                loaded.folder.absolute(),
                self._runtime,
            )
        if self._threads is not None:
            _override_threads(compiled, self._threads)
        return compiled

    def stop(self) -> None:
        """Ends an import that is under way in another thread, however long it would take."""
        self._import.stop()

    def candidates(self) -> list[Path]:
        """What to watch as long as nothing could be read."""
        return [] if self.is_object else [Path(source).absolute() for source in self._sources]


def _override_threads(compiled: Compiled, threads: int) -> None:
    from tidegate.config.snapshot import Resource, digest

    key = ("gateway", "gateway")
    text = json.dumps({**compiled.settings(), "threads": threads}, separators=(",", ":"), ensure_ascii=False)
    compiled.snapshot.resources[key] = Resource(*key, digest(text), text)


def position_in(places: Places) -> Position:
    """From a path to `file:line` in the files that were read."""

    return places.where


class Import:
    """Has a short-lived process import `module:object`, so that no user code ever runs in this one."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._is_stopped = False

    def run(self, source: str, runtime: Path, threads: int | None) -> Compiled:
        """Imports and compiles.

        Raises:
            ConfigError: It could not be imported, is no gateway, or has mistakes.
        """
        request = json.dumps({"source": source, "runtime": str(runtime), "threads": threads})
        # The answer has a descriptor of its own: the user's code may print.
        read, write = os.pipe()
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tidegate.control._import", str(write), request],
                stdin=subprocess.DEVNULL,
                stdout=2,
                pass_fds=(write,),
            )
        finally:
            os.close(write)
        self._process = process
        with open(read, "rb") as answers, process:
            if self._is_stopped:
                process.kill()
            try:
                answer = _read_within(answers.fileno(), process)
            finally:
                self._process = None
                process.kill()
        if answer is None:
            how = f"the process ended with code {process.returncode}"
            text = f"could not be imported: {how}; its output is above"
            raise ConfigError([Problem(text, path=source)])
        if "problems" in answer:
            raise ConfigError([Problem(**problem) for problem in answer["problems"]])
        return Compiled.from_json(answer)

    def stop(self) -> None:
        """Ends the process, and every later one at once."""
        self._is_stopped = True
        process = self._process
        if process is not None:
            process.kill()


def _read_within(descriptor: int, process: "subprocess.Popen[bytes]") -> dict[str, Any] | None:
    import selectors
    import time

    deadline = time.monotonic() + IMPORT_TIMEOUT
    chunks: list[bytes] = []
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            if not selector.select(max(deadline - time.monotonic(), 0)):
                text = f"importing took over {IMPORT_TIMEOUT:g} s; do slow work when the function is called"
                raise ConfigError([Problem(text)])
            chunk = os.read(descriptor, 1 << 20)
            if not chunk:
                break
            chunks.append(chunk)
    process.wait(timeout=5)
    try:
        answer = json.loads(b"".join(chunks))
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None
