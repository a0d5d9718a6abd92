# SPDX-License-Identifier: Apache-2.0
"""Servers of WSGI and ASGI applications, as people run them."""

from pathlib import Path

import pytest

from tests.integration.processes.site import load, site, told, wait_ready
from tests.integration.supervised import Supervised

WSGI = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ANSWER"]
"""
ASGI = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ANSWER"})
"""
TEXT = """
gateway: { threads: 2, graceful_stop: 5s }
listeners: { web: { address: 127.0.0.1, port: PORT } }
backends:
  app: { processes: { command: COMMAND, count: 2 } }
routes: [{ path: /, to: app }]
"""
GUNICORN = '[gunicorn, "code:app", --workers, "2", --bind, "127.0.0.1:{port}"]'
UVICORN = '[uvicorn, "code:app", --no-access-log, --port, "{port}"]'


def deploy(folder: Path, code: str) -> None:
    """Writes the application's code as a deployment does; `tidegate restart` follows."""
    (folder / "code.py").write_text(code)


def answers(gateway: Supervised) -> set[str]:
    return {gateway.get() for _ in range(4)}


@pytest.mark.parametrize(("command", "code"), [(GUNICORN, WSGI), (UVICORN, ASGI)], ids=["wsgi", "asgi"])
def test_new_code_takes_over_and_broken_code_does_not(
    tmp_path: Path, command: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The same size within a second: a compiled file of the code before would be taken for it.
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    deploy(tmp_path, code.replace("ANSWER", "one"))
    with site(tmp_path, TEXT.replace("COMMAND", command)) as gateway, load(gateway) as seen:
        wait_ready(gateway, 2)
        deploy(tmp_path, code.replace("ANSWER", "two"))
        restarted = gateway.run("restart", "app")
        assert restarted.returncode == 0, restarted.stderr
        assert answers(gateway) == {"two"}
        deploy(tmp_path, "import nothing_of_this_name")
        # Gunicorn listens before it has loaded the code.
        failed = gateway.run("restart", "app")
        assert failed.returncode == 1
        assert "the 2 before go on" in failed.stderr
        assert answers(gateway) == {"two"}
        assert [each["state"] for each in told(gateway)["processes"]].count("ready") == 2
    assert seen.failures == [] and seen.answers == {"one", "two"}
