# SPDX-License-Identifier: Apache-2.0
"""Says when files change, by their folders: editors replace files instead of writing them."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

DEBOUNCE_MS = 100
"""Changes this close to each other are one: an editor or a checkout writes several files."""


class Watcher:
    """Watches a changing set of files and folders of code; calls back after each burst of changes."""

    def __init__(self, changed: Callable[[], Awaitable[None]]) -> None:
        self._changed = changed
        self._files: frozenset[Path] = frozenset()
        self._code: frozenset[Path] = frozenset()
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def watch(self, files: list[Path], code: list[Path]) -> None:
        """Watches these instead of those before.

        Args:
            files: Files, or folders whose own files count.
            code: Folders with Python files at any depth.
        """
        wanted = (frozenset(files), frozenset(code))
        if wanted == (self._files, self._code) and self._task is not None:
            return
        self._files, self._code = wanted
        self.close()
        if files or code:
            self._stop = asyncio.Event()
            self._task = asyncio.create_task(self._run(self._stop))

    def close(self) -> None:
        """Watches nothing any more."""
        self._stop.set()
        self._task = None

    async def _run(self, stop: asyncio.Event) -> None:
        from watchfiles import Change, awatch

        files = {path.absolute() for path in self._files} | {path.resolve() for path in self._files}
        code = {path.resolve() for path in self._code}

        def concerns(_change: Change, name: str) -> bool:
            path = Path(name)
            if path in files or path.parent in files:
                return True
            return path.suffix == ".py" and any(path.is_relative_to(folder) for folder in code)

        folders = {path if path.is_dir() else path.parent for path in files}
        deep = {folder for folder in code if folder.is_dir()}
        groups = [
            awatch(*sorted(deep), stop_event=stop, watch_filter=concerns, debounce=DEBOUNCE_MS, step=20)
        ]
        flat = [folder for folder in folders if folder.is_dir()]
        if flat:
            groups.append(
                awatch(
                    *sorted(flat),
                    stop_event=stop,
                    watch_filter=concerns,
                    debounce=DEBOUNCE_MS,
                    step=20,
                    recursive=False,
                )
            )
        if not deep:
            del groups[0]

        async def follow(group: int) -> None:
            async for _ in groups[group]:
                if not stop.is_set():
                    await self._changed()

        async with asyncio.TaskGroup() as tasks:
            for number in range(len(groups)):
                tasks.create_task(follow(number))
