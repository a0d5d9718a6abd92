# SPDX-License-Identifier: Apache-2.0
"""Drives `tidegate-load attack` (benches/load/src/attack), a process for each attack."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benches.beside import step_back
from benches.proxy.machine import raise_descriptors

from .attacks import Attack


class Attacker:
    """An attack under way."""

    def __init__(self, program: Path, attack: Attack, target: str, authority: Path) -> None:
        """Args:

        program: the load tool.
        target: `address:port` of the proxy.
        authority: the certificate that the attacker believes.
        """
        self._folder = tempfile.TemporaryDirectory(prefix="tidegate-attack-")
        words: dict[str, object] = {"connections": attack.connections, **attack.words, "target": target}
        if attack.over in ("h1", "h2"):
            words |= {"tls": authority, "http2": str(attack.over == "h2").lower()}
        pieces = [("opening", attack.opening()), ("datagrams", attack.datagrams())]
        pieces += [("repeat", repeat) for repeat in attack.repeats()]
        command = [str(program), "attack", *(f"{name}={value}" for name, value in words.items())]
        for number, (name, content) in enumerate(pieces):
            if content:
                path = Path(self._folder.name) / str(number)
                path.write_bytes(content)
                command.append(f"{name}={path}")
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=_prepare
        )

    def __enter__(self) -> Self:
        return self

    def told(self) -> dict[str, Any]:
        """Its counts so far."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the attacker ended with {self._process.wait()}")
        found: dict[str, Any] = json.loads(line)
        return found

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process:
            self._process.kill()
        self._folder.cleanup()


def _prepare() -> None:
    """What attackers are: behind everybody else on their core, with as many files as can be."""
    step_back()
    os.nice(10)
    raise_descriptors()
