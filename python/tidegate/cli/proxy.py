# SPDX-License-Identifier: Apache-2.0
"""`tidegate proxy`: a reverse proxy from the command line alone."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from tidegate import runtime, supervisor
from tidegate.cli.codes import USAGE, stop
from tidegate.events import Form
from tidegate.runtime import InstanceError
from tidegate.supervisor import Options


def proxy(
    routes: Sequence[str],
    *,
    listen: str,
    strip: bool,
    name: str | None,
    threads: int | None,
    base: Path | None,
    user: str | None,
    log_format: Form,
) -> NoReturn:
    """Writes a configuration into the runtime directory and runs it; the file may be edited meanwhile."""
    text = configuration(routes, listen, strip=strip)
    name = name or "proxy-" + re.sub(r"[^a-z0-9]+", "-", listen.lower()).strip("-")[-40:]
    try:
        instance = runtime.instance(name, base)
        path = instance.directory.parent / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        if instance.is_running():
            stop(f"instance {name!r} is running already; choose another --listen or --name")
        path.unlink(missing_ok=True)
        # Nobody else's file or link may be in the way: the directory may be shared.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        with open(descriptor, "w") as file:
            file.write(text)
    except InstanceError as error:
        stop(str(error))
    except OSError as error:
        stop(f"cannot write {path}: {error.strerror}; choose another place with --runtime-directory")
    options = Options([str(path)], name, True, threads, base, user, log_format)
    try:
        code = supervisor.run(options)
    finally:
        path.unlink(missing_ok=True)
    raise SystemExit(code)


def configuration(routes: Sequence[str], listen: str, *, strip: bool) -> str:
    """The YAML for `[PATH=]URL` pairs; ends the command when one cannot be read."""
    lines = [
        "# Written by `tidegate proxy`; changes are applied while it runs.",
        "listeners:",
        f"  web: {listener(listen)}",
    ]
    lines.append("routes:")
    for route in routes:
        path, url = split(route)
        rewrite = ", rewrite: { prefix: / }" if strip and path != "/" else ""
        lines.append(f"  - {{ path: {_quoted(path)}, to: {_quoted(url)}{rewrite} }}")
    return "\n".join(lines) + "\n"


def split(route: str) -> tuple[str, str]:
    """`/app1=http://...` into path and URL; a URL alone, or a port, takes everything."""
    path, equals, url = route.partition("=")
    if not equals or not path.startswith("/"):
        path, url = "/", route
    if url.isdecimal() or url.startswith(":"):
        url = f"http://localhost:{url.removeprefix(':')}"
    if "://" not in url and not url.startswith("unix:"):
        url = f"http://{url}"
    if url in ("http://", ""):
        stop(f"{route!r} leads nowhere; write PATH=URL, such as /app1=http://localhost:8081", USAGE)
    return path, url


def listener(listen: str) -> str:
    """`:8080`, `8080`, `127.0.0.1:8080`, `[::1]:8080` or `unix:/path` as a listener in YAML."""
    if listen.startswith("unix:"):
        return f"{{ address: {_quoted(listen)} }}"
    address, _, port = listen.rpartition(":")
    address = address.strip("[]")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        stop(f"--listen {listen!r} has no port; write :8080, 127.0.0.1:8080 or unix:/path", USAGE)
    return f"{{ address: {_quoted(address)}, port: {port} }}" if address else f"{{ port: {port} }}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
