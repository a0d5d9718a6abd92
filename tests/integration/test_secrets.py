# SPDX-License-Identifier: Apache-2.0
"""Secrets reach the endpoint and nobody else: planted ones are looked for wherever anything is written."""

from __future__ import annotations

import http.client
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.bad_days.site import kill
from tests.integration.supervised import DEADLINE, Supervised, supervised
from tidegate.testing import FakeEndpoint, endpoint, wait_until

PLANTED = ("canary-of-the-gateway", "canary-of-the-file", "canary-of-a-match", "canary-of-an-answer")
TEXT = """
gateway:
  threads: 1
  access_log:
    path: access.jsonl
    redact_fields: []
    redact_query: []
    fields: [x-all, x-key, authorization, cookie, x-match, x-short]
  policies: [{ type: request_headers, set: { x-all: "${env:ALL}", user-agent: "${env:ALL}" } }]
listeners: { web: { address: 127.0.0.1, port: PORT } }
backends:
  shop:
    endpoints: ["UPSTREAM"]
    policies: [{ type: request_headers, add: { x-key: ["${file:key}", plain] } }]
policies:
  bearer:
    - { type: request_headers, set: { authorization: "Bearer ${file:key}", x-short: "${env:SHORT}" } }
    - { type: response_headers, set: { x-answer: "${env:ANSWER}" } }
routes:
  - name: matched
    match: { path: /, headers: { x-match: "${env:MATCH}" }, query: { k: "${env:MATCH}" },
             cookies: { c: "${env:MATCH}" } }
    policies: [bearer]
    to: shop
  - { name: fixed, path: /fixed, to: { respond: { headers: { x-answer: "${env:ANSWER}" } } } }
  - { name: open, path: /open, to: shop }
  - { match: { path: /unnamed, headers: { x-match: "${env:MATCH}" } }, to: shop }
"""


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEndpoint]:
    for name, value in zip(("ALL", "MATCH", "ANSWER"), (PLANTED[0], *PLANTED[2:]), strict=True):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SHORT", "1")
    with endpoint() as running:
        yield running


@pytest.fixture
def gateway(tmp_path: Path, upstream: FakeEndpoint) -> Iterator[Supervised]:
    (tmp_path / "key").write_text(PLANTED[1] + "\n")
    with supervised(tmp_path, TEXT.replace("UPSTREAM", upstream.address)) as running:
        yield running


def ask(gateway: Supervised, path: str, **headers: str) -> dict[str, str]:
    """The answer's status and fields."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=DEADLINE)
    connection.request(
        "GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )
    response = connection.getresponse()
    response.read()
    connection.close()
    return {"status": str(response.status), **{name.lower(): value for name, value in response.getheaders()}}


def matched(gateway: Supervised) -> dict[str, str]:
    """The answer to a request that knows what to say."""
    word = PLANTED[2]
    return ask(gateway, f"/?k={word.replace('o', '%6f')}&a=b", x_match=word, cookie=f"a=b; c={word}")


def values(upstream: FakeEndpoint, name: str) -> list[str]:
    """The values of a field that the endpoint got last."""
    return [value.decode() for own, value in upstream.messages[-1].fields if own.lower() == name.encode()]


def run(gateway: Supervised) -> Path:
    return gateway.folder / "run" / "t"


def kept(gateway: Supervised) -> list[Path]:
    """The files that may hold secrets."""
    return sorted(run(gateway).glob("secrets-*.json"))


def is_private(gateway: Supervised) -> bool:
    return all(path.stat().st_mode & 0o777 == 0o600 for path in kept(gateway))


def saved(gateway: Supervised) -> bool:
    """Whether the snapshot that the node runs is on disk."""
    number = json.loads(gateway.run("status", "--json").stdout)["node"]["snapshot"]
    return [path.name for path in kept(gateway)] == [f"secrets-{number}.json"]


def test_the_endpoint_gets_secrets_and_nothing_prints_them(
    gateway: Supervised, upstream: FakeEndpoint
) -> None:
    answer = matched(gateway)
    assert (answer["status"], answer["x-answer"]) == ("200", PLANTED[3])
    assert values(upstream, "authorization") == [f"Bearer {PLANTED[1]}"]
    assert values(upstream, "x-key") == [PLANTED[1], "plain"]
    assert values(upstream, "x-all") == [PLANTED[0]]
    assert values(upstream, "x-short") == ["1"]
    request_id = values(upstream, "x-request-id")[0]
    assert ask(gateway, "/fixed")["x-answer"] == PLANTED[3]
    assert ask(gateway, "/", x_match="a guess")["status"] == "404"

    said: dict[str, str] = {}
    question = ("explain", "GET", "/open", "--header", "x-match: a guess")
    for command in (
        ("check", str(gateway.path)),
        ("check", "--json", str(gateway.path)),
        ("schema",),
        (*question, "--file", str(gateway.path)),
        (*question, "--file", str(gateway.path), "--json"),
        (*question, "--live"),
        (*question, "--live", "--json"),
        ("why", request_id),
        ("why", request_id, "--json"),
        ("status",),
        ("status", "--json"),
        ("reload",),
    ):
        done = gateway.run(*command)
        assert done.returncode == 0, (command, done.stderr)
        said[" ".join(command)] = done.stdout + done.stderr
    for live in ("--live", f"--file {gateway.path}"):
        decision = json.loads(said[" ".join((*question, live, "--json"))])
        shown = [value for name, value in decision["upstream"]["headers"] if name.lower() == "x-key"]
        assert shown == ["(secret file:key)", "plain"]
        assert ["x-all", "(secret env:ALL)"] in decision["upstream"]["headers"]
        assert any("x-match=(secret env:MATCH)" in str(each["route"]) for each in decision["considered"])
    entry = json.loads(said[f"why {request_id} --json"])
    assert entry["user_agent"] == "[redacted]"
    assert set(entry["fields"].values()) == {"[redacted]"}
    assert entry["query"] == "k=[redacted]&a=b"

    # A mistake beside a secret, and one in it.
    for mistake in (
        "routes: [{ path: /, tp: x }]",
        "policies: [{ type: request_headers, set: { a b: '${env:ALL}' } }]",
    ):
        broken = gateway.folder / "broken.yaml"
        broken.write_text(mistake)
        done = gateway.run("check", str(broken))
        assert done.returncode == 3
        said[mistake] = done.stdout + done.stderr
    text = gateway.path.read_text()
    gateway.write(text.replace('x-short: "${env:SHORT}"', 'x-short: "${file:tidegate.yaml}"'))
    said["a refused reload"] = gateway.run("reload").stderr
    assert "what `file:tidegate.yaml` stands for does not fit here" in said["a refused reload"]
    gateway.write(text)
    assert wait_until(lambda: saved(gateway), DEADLINE)

    said["log"] = gateway.log()
    said["access log"] = (gateway.folder / "access.jsonl").read_text()
    files = [path for path in gateway.folder.joinpath("run").rglob("*") if path.is_file()]
    assert "snapshot.json" in {path.name for path in files}
    for path in files:
        if path in kept(gateway):
            assert path.stat().st_mode & 0o777 == 0o600
            assert all(planted in path.read_text() for planted in PLANTED)
        else:
            said[str(path)] = path.read_text(errors="replace")
    for place, written in said.items():
        for planted in PLANTED:
            assert planted not in written, f"{place}: {written}"
    assert gateway.stop() == 0
    assert not list((gateway.folder / "run").glob("t/*"))


def test_a_secret_that_changed_reaches_the_endpoint_with_the_next_reload(
    gateway: Supervised, upstream: FakeEndpoint
) -> None:
    (gateway.folder / "key").write_text("rotated")
    done = gateway.run("reload")
    assert matched(gateway)["status"] == "200"
    assert values(upstream, "authorization") == ["Bearer rotated"]
    assert values(upstream, "x-key") == ["rotated", "plain"]
    # Nothing else was sent again.
    event = gateway.wait_event("configuration applied")
    while event["snapshot"] == 1:
        event = gateway.wait_event("configuration applied")
    assert event["changed"] == "backend shop, route matched", done.stdout
    gateway.run("reload")
    gateway.wait_event("configuration unchanged")


def test_a_secret_that_changed_while_control_was_dead_is_noticed_by_the_next(
    gateway: Supervised, upstream: FakeEndpoint
) -> None:
    (gateway.folder / "key").write_text("rotated")
    kill(gateway.pid("control"))
    gateway.wait_event("configuration applied")
    assert gateway.wait_event("configuration applied")["changed"] == "backend shop, route matched"
    assert matched(gateway)["status"] == "200"
    assert values(upstream, "authorization") == ["Bearer rotated"]
    # The next one finds what it wants.
    kill(gateway.pid("control"))
    gateway.wait_event("configuration unchanged")


def test_a_node_started_from_disk_has_the_secrets_and_refuses_those_that_others_may_read(
    gateway: Supervised, upstream: FakeEndpoint
) -> None:
    assert wait_until(lambda: saved(gateway), DEADLINE)
    control, node, [secrets] = gateway.pid("control"), gateway.pid("node"), kept(gateway)
    written = secrets.stat().st_mtime_ns
    gateway.log()
    os.kill(control, signal.SIGSTOP)
    try:
        kill(node)
        node = gateway.wait_event("node started")["pid"]
        assert matched(gateway)["status"] == "200"
        assert values(upstream, "authorization") == [f"Bearer {PLANTED[1]}"]
        # It writes what it started from.
        assert wait_until(lambda: secrets.stat().st_mtime_ns != written, DEADLINE)
        secrets.chmod(0o644)
        kill(node)
        event = gateway.wait_event("the node refuses its last snapshot")
        assert "others may read it (mode 0644)" in str(event["problems"])
        assert PLANTED[1] not in json.dumps(event)
    finally:
        os.kill(control, signal.SIGCONT)
    # Control has it still; what others could read is written anew.
    assert wait_until(lambda: saved(gateway) and is_private(gateway), DEADLINE)
    assert matched(gateway)["status"] == "200"
    assert values(upstream, "authorization") == [f"Bearer {PLANTED[1]}"]


def test_an_object_of_python_has_its_secrets_as_a_file_has_them(
    tmp_path: Path, upstream: FakeEndpoint
) -> None:
    (tmp_path / "key").write_text(PLANTED[1])
    (tmp_path / "shop.py").write_text(
        "from tidegate import Gateway, Listener, Route, env, file\n"
        "def gateway():\n"
        "    headers = {'authorization': 'Bearer ' + file('key'), 'x-all': env('ALL')}\n"
        "    return Gateway(listeners={'web': Listener(address='127.0.0.1', port=PORT)},\n"
        "        routes=[Route(path='/', policies=[{'type': 'request_headers', 'set': headers}],\n"
        f"                      to='{upstream.url}')])\n"
    )
    gateway = Supervised(tmp_path, "", command=["run", "shop:gateway"])
    try:
        module = tmp_path / "shop.py"
        module.write_text(module.read_text().replace("PORT", str(gateway.port)))
        gateway.wait_ready()
        assert ask(gateway, "/")["status"] == "200"
        assert values(upstream, "authorization") == [f"Bearer {PLANTED[1]}"]
        assert values(upstream, "x-all") == [PLANTED[0]]
        (tmp_path / "key").write_text("rotated")
        gateway.run("reload")
        ask(gateway, "/")
        assert values(upstream, "authorization") == ["Bearer rotated"]
        assert PLANTED[1] not in gateway.log()
    finally:
        gateway.close()
