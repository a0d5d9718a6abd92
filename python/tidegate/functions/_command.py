# SPDX-License-Identifier: Apache-2.0
"""Runs the commands of health checks: in a function worker, as the user that functions run as."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal

from tidegate._engine import Request, Response

_MOST_OUTPUT = 1024
"""Bytes of what a command writes that are kept: its first line goes into the log."""


async def run(request: Request) -> Response:
    """Runs one command: 204 if it ends with code 0, else 503 and what happened.

    The request's body is `{"command": [program, argument, ...]}`. When the call is cancelled, because its
    deadline has passed or nobody waits any more, the command's process group is killed.
    """
    command: list[str] = json.loads(await request.body())["command"]
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            # Of its own: everything that it starts can be killed with it.
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return Response(f"{command[0]} cannot be started: {text.lower()}", 503)
    try:
        said = await _first(process)
        code = await process.wait()
    finally:
        # Also after its end: what it left in the background is not to pile up.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    if code == 0:
        return Response(status=204)
    how = f"ended with code {code}" if code > 0 else f"was ended by {signal.Signals(-code).name}"
    return Response(f"{command[0]} {how}" + (f": {said}" if said else ""), 503)


async def _first(process: asyncio.subprocess.Process) -> str:
    """The first line of the output. All of it is read, until the command ends or closes it."""
    assert process.stdout is not None
    kept = b""
    reading = asyncio.ensure_future(process.stdout.read(_MOST_OUTPUT))
    waiting = asyncio.ensure_future(process.wait())
    try:
        while True:
            await asyncio.wait({reading, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                # It ended, and something that it left behind holds its output open.
                break
            piece = reading.result()
            kept += piece[: _MOST_OUTPUT - len(kept)]
            if not piece:
                break
            reading = asyncio.ensure_future(process.stdout.read(_MOST_OUTPUT))
    finally:
        reading.cancel()
        waiting.cancel()
    return kept.decode(errors="replace").strip().partition("\n")[0]
