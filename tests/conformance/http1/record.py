# SPDX-License-Identifier: Apache-2.0
"""Records the benign corpus: `python -m tests.conformance.http1.record [CLIENT ...]`.

Runs every client that is installed against a recording endpoint and writes one JSON line per distinct message
to corpus/benign.jsonl: `{"client", "version", "raw_latin1"}`, one character per byte. Named clients replace
their own lines only. Clients that are missing are named and keep their lines.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.http1 import record_tools
from tidegate.testing import FakeEndpoint, Message, Reply, endpoint

FOLDER = Path(__file__).parent
CORPUS = FOLDER / "corpus" / "benign.jsonl"
CLIENTS = FOLDER / "clients"
LARGEST = 65536
_OURS = re.compile(r"(?i)example|localhost|^\[::1\]|^[\d.]+(:\d+)?$")
PYTHON_CLIENTS = ("urllib", "http_client", "requests", "httpx", "urllib3", "aiohttp", "websockets")


@dataclass(frozen=True)
class Client:
    """How to run one client: `version` is its own word for itself, `run` makes it send to a URL."""

    name: str
    program: str
    version: Callable[[], str]
    run: Callable[[str, Path], object]


def reply(message: Message) -> Reply:
    """Answers as a site would, so that clients redirect, revalidate, upgrade and load more."""
    path = message.target.partition("?")[0]
    if message.get("sec-websocket-key"):
        digest = hashlib.sha1(
            f"{message.get('sec-websocket-key')}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()
        )
        accept = base64.b64encode(digest.digest()).decode()
        return Reply(
            101, [("upgrade", "websocket"), ("connection", "upgrade"), ("sec-websocket-accept", accept)], b""
        )
    if path == "/redirect":
        return Reply(302, [("location", "/redirected?from=1"), ("set-cookie", "seen=1; Path=/")])
    if path == "/redirect307":
        return Reply(307, [("location", "/redirected?from=307")])
    if path == "/cached" and message.get("if-none-match"):
        return Reply(304, [("etag", '"v1"')])
    fields = [
        ("access-control-allow-origin", message.get("origin") or "*"),
        ("access-control-allow-headers", "*"),
    ]
    fields += [("access-control-allow-methods", "*"), ("access-control-allow-credentials", "true")]
    if path == "/page":
        return Reply(200, [*fields, ("content-type", "text/html")], (CLIENTS / "page.html").read_bytes())
    if path == "/cookies":
        fields += [("set-cookie", "session=abc123; Path=/; HttpOnly"), ("set-cookie", "lang=en; Path=/")]
    if path == "/cached":
        fields += [
            ("etag", '"v1"'),
            ("last-modified", "Sat, 01 Nov 2025 00:00:00 GMT"),
            ("cache-control", "no-cache"),
        ]
    kinds = {
        ".js": "text/javascript",
        ".css": "text/css",
        ".png": "image/png",
        ".html": "text/html",
        ".mp4": "video/mp4",
    }
    fields.append(("content-type", next((k for end, k in kinds.items() if path.endswith(end)), "text/plain")))
    return Reply(200, fields, b"// ok\n")


class Recorder:
    """Runs clients one after the other, each against an endpoint of its own."""

    def __init__(self) -> None:
        """Starts with nothing recorded."""
        self.lines: list[dict[str, str]] = []

    def record(self, client: Client) -> None:
        """Runs one client and keeps its distinct messages."""
        version = client.version()
        with endpoint(respond=reply) as upstream, tempfile.TemporaryDirectory() as folder:
            client.run(upstream.url, Path(folder))
            kept = list(self._distinct(upstream))
        self.lines += [{"client": client.name, "version": version, "raw_latin1": raw} for raw in kept]
        print(f"{len(kept):4} {client.name} {version}", flush=True)

    def _distinct(self, upstream: FakeEndpoint) -> Iterator[str]:
        seen = set()
        for connection in upstream.connections:
            if connection.malformed:
                print(f"     not HTTP/1.1: {connection.malformed}: {bytes(connection.raw)[:200]!r}")
            for message in connection.messages:
                # A browser also asks its maker's services, which is nobody's business here.
                if not _OURS.search(message.get("host") or "example"):
                    continue
                raw = message.raw.decode("latin-1")
                # Keys, boundaries and the like differ from run to run and would only look like variety.
                shape = re.sub(
                    r"(?im)^(sec-websocket-key|content-type|date|traceparent):.*$",
                    "",
                    raw.partition("\r\n\r\n")[0],
                )
                if len(raw) <= LARGEST and shape not in seen:
                    seen.add(shape)
                    yield raw


def clients() -> Iterator[Client]:
    """Every client there is a recipe for, installed or not."""
    for module in PYTHON_CLIENTS:
        yield Client(f"python {module}", sys.executable, _python_version(module), _python(module))
    yield from record_tools.clients(Client, CLIENTS)


def _python(module: str) -> Callable[[str, Path], object]:
    def run(url: str, folder: Path) -> None:
        subprocess.run(
            [sys.executable, CLIENTS / "client.py", module, url], check=True, timeout=60, cwd=folder
        )

    return run


def _python_version(module: str) -> Callable[[], str]:
    def version() -> str:
        if module in ("urllib", "http_client"):
            return f"CPython {sys.version.split()[0]}"
        from importlib import metadata

        return metadata.version(module)

    return version


def main() -> int:
    """Records and rewrites the corpus."""
    wanted = sys.argv[1:]
    recorder, missing = Recorder(), []
    chosen = [one for one in clients() if not wanted or any(one.name.startswith(name) for name in wanted)]
    for client in chosen:
        if shutil.which(client.program, path=record_tools.PATH) is None:
            missing.append(client.name)
            continue
        try:
            recorder.record(client)
        except (subprocess.SubprocessError, OSError) as error:
            missing.append(f"{client.name} ({error})")
    renewed = {line["client"] for line in recorder.lines}
    old = [json.loads(line) for line in CORPUS.read_text().splitlines()] if CORPUS.exists() else []
    lines = [line for line in old if line["client"] not in renewed] + recorder.lines
    lines = list({line["raw_latin1"]: line for line in lines}.values())
    lines.sort(key=lambda line: line["client"])
    CORPUS.write_text("".join(json.dumps(line, sort_keys=True) + "\n" for line in lines))
    print(f"{len(lines)} messages of {len({line['client'] for line in lines})} clients in {CORPUS}")
    if missing:
        print("not recorded: " + ", ".join(missing))
    return 0


if __name__ == "__main__":
    sys.exit(main())
