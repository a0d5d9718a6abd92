# SPDX-License-Identifier: Apache-2.0
"""What commands tell of a forward proxy, and what a reload does to it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.integration.forward.kit import Origin, ask, loopback, proxy, tunnel
from tests.integration.l4.kit import Server, read_all
from tidegate.testing import decide

TEXT = """
listeners:
  out:
    port: 3128
    forward:
      users: [{ name: office, clients: 10.1.0.0/16, deny: .ads.example }]
"""


def explained(folder: Path, *arguments: str) -> str:
    """What `tidegate explain` prints."""
    (folder / "tidegate.yaml").write_text(TEXT)
    command = [sys.executable, "-m", "tidegate", "explain", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=True).stdout


def test_explain_tells_user_rule_and_address(tmp_path: Path) -> None:
    office = ("--client", "10.1.2.3")
    told = explained(tmp_path, "CONNECT", "a.example:443", *office)
    assert "user       office" in told and "asks for   a.example at port 443" in told
    assert "passed on" in told and "each of its addresses judged" in told
    for method, url, client, says in (
        ("CONNECT", "http://a.example:22", "10.1.2.3", "the port is not open"),
        ("GET", "http://x.ads.example/", "10.1.2.3", "denied by `.ads.example`"),
        ("GET", "http://10.0.0.1/", "10.1.2.3", "the address is a private address"),
        ("GET", "http://169.254.169.254/", "10.1.2.3", "the address is a metadata service's"),
        ("GET", "http://a.example/", "10.2.0.1", "no user comes from there"),
        ("GET", "http://2130706433/", "10.1.2.3", "a host that is nearly an IPv4 address"),
    ):
        decision = decide(TEXT, {"method": method, "url": url, "client": client, "listener": "out"})
        assert (decision["outcome"], decision["detail"]) == ("reject", says)
    decision = decide(TEXT, {"method": "GET", "url": "http://a.example/", "client": "10.1.2.3"})
    assert (decision["outcome"], decision["user"], decision["tunnel"]) == ("proxy", "office", False)


def test_a_reload_changes_the_rules_and_ends_no_tunnel() -> None:
    def configuration(*allow: object) -> str:
        own = {"address": "127.0.0.1", "port": 0, "forward": {"allow": list(allow)}}
        return json.dumps({"gateway": {"admin": {"port": 60_999}}, "listeners": {"out": own}})

    with Server() as server, Origin() as origin:
        rule = {"addresses": "127.0.0.1", "ports": int(server.address.rpartition(":")[2])}
        with proxy(allow=[rule, *loopback(origin)]) as running:
            url = f"http://{origin.authority}/"
            assert ask(running, url)[0] == 200
            with tunnel(running, server.address) as connection:
                running.reload(configuration("*"))
                # A connection that was kept is not used against the rules either.
                assert ask(running, url)[0] == 403
                assert ask(running, server.address, method="CONNECT")[0] == 403
                connection.sendall(b"still here")
                connection.shutdown(1)
                assert read_all(connection) == b"still here"
