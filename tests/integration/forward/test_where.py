# SPDX-License-Identifier: Apache-2.0
"""Where a forward proxy goes: rules, addresses after resolution, and names that change their minds."""

from __future__ import annotations

from typing import Any

from tests.integration.endpoints.nameserver import Nameserver
from tests.integration.forward.kit import Origin, ask, proxy, raw, tunnel
from tidegate.testing import decide

INSIDE = [
    # Loopback and what means it.
    "127.0.0.1", "127.0.0.2", "127.1.2.3", "127.255.255.254", "[::1]", "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[::127.0.0.1]", "[::7f00:1]",
    "[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]",
    "[2002:7f00:1::1]", "[2001:0:7f00:1::]", "[::ffff:0:127.0.0.1]", "127.0.0.1.",
    "[2620:1:1:1:0:5efe:127.0.0.1]", "[2620:1:1:1:200:5efe:7f00:1]",
    # Unspecified.
    "0.0.0.0", "0.0.0.1", "0.255.255.255", "[::]", "[::ffff:0.0.0.0]", "[::0]", "[0::0]",
    # Private.
    "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.255",
    "[::ffff:10.0.0.1]", "[::ffff:a00:1]", "[64:ff9b::10.0.0.1]", "[2002:a00:1::]", "[fc00::1]",
    "[fd00::1]", "[fdff:ffff::1]", "[fec0::1]", "[FD00::1]",
    # Link-local and metadata services.
    "169.254.0.1", "169.254.169.254", "169.254.170.2", "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]",
    "[64:ff9b::169.254.169.254]", "[2002:a9fe:a9fe::]", "[fe80::1]", "[febf::1]", "[fd00:ec2::254]",
    "[fd00:0ec2:0:0:0:0:0:254]", "[FD00:EC2::254]", "[fd20:ce::254]", "192.0.0.192", "100.100.100.200",
    "168.63.129.16", "169.254.169.254.",
    # Behind carriers, tests, benchmarks, multicast, nobody's.
    "100.64.0.1", "100.127.255.254", "192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1",
    "198.19.255.255", "192.0.0.1", "192.88.99.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
    "255.255.255.255", "[ff02::1]", "[ff0e::1]", "[2001:db8::1]", "[100::1]", "[3fff::1]", "[4000::1]",
    "[2001:10::1]", "[2001:20::1]", "[64:ff9b:ffff::1]",
]  # fmt: skip
"""Hosts that are addresses, none of which anybody may ask."""

NO_HOSTS = [
    # Numbers that some readers take for 127.0.0.1 or a metadata service, and names that end in one.
    "2130706433", "0x7f000001", "0X7F000001", "017700000001", "0x7f.0.0.1", "0177.0.0.1", "127.1",
    "127.0.1", "0", "0x0", "00.0.0.0", "127.0.0.01", "0x7f.1", "127.0.0.0x1", "2852039166",
    "0xa9fea9fe", "0xa9.0xfe.0xa9.0xfe", "0251.0376.0251.0376", "169.254.43518", "169.16689662",
    "3232235521", "10.1", "1.2.3.4.5", "256.0.0.1", "127.0.0.256", "4294967296", "0x100000000", "09.1.1.1",
    # Zones, escapes, other writings of the dot, users in front, blanks, and what is no host at all.
    "[fe80::1%25eth0]", "[fe80::1%eth0]", "[::1%1]", "127.0.0.1%2e", "127%2e0%2e0%2e1", "%31%32%37.0.0.1",
    "127。0。0。1", "①②⑦.0.0.1", "127\u30020.0.1", "localhost%00", "loc%61lhost", "user@127.0.0.1",
    "127.0.0.1@a.example", "a.example@127.0.0.1", "127.0.0.1..", "..", ".", "a..example", "[127.0.0.1]",
    "[::1", "::1", "[::1]]", "[[::1]]", "[v1.fe80]", "[::ffff:0x7f.1]", "[::ffff:127.1]", "127.0.0.1,a",
    "a_b c", "127.0.0.1\\@a.example", "a.example\\.127.0.0.1", "127.0.0.1;", "{127.0.0.1}", "(localhost)",
    "*", "*.example",
]  # fmt: skip
"""What is refused before anybody asks where it is."""


def test_addresses_and_their_spellings() -> None:
    assert len(INSIDE) + len(NO_HOSTS) >= 130
    with Origin() as origin, proxy(allow=[{"hosts": "*", "ports": origin.port}]) as running:
        for host in INSIDE:
            assert ask(running, f"http://{host}:{origin.port}/")[0] == 403, host
            assert ask(running, f"{host}:{origin.port}", method="CONNECT")[0] == 403, host
        for host in NO_HOSTS:
            authority = f"{host}:{origin.port}"
            for target in (f"GET http://{authority}/", f"CONNECT {authority}"):
                answer = raw(running, f"{target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                assert answer.startswith(b"HTTP/1.1 400 "), (target, answer)
        assert not origin.connections


def test_what_is_told_says_nothing_of_addresses() -> None:
    with Nameserver() as names, Origin() as origin:
        names.holds("db.corp.example", "10.1.2.3", "10.1.2.4")
        with proxy(dns={"resolvers": names.address}) as running:
            told, text = ask(running, "http://db.corp.example/")
            assert told == 403 and "10.1.2" not in text
            assert "db.corp.example has no address that this proxy may ask" in text
            (entry,) = running.log(1)
            assert entry["detail"] == "the address is a private address"
            assert entry["error"] == "http_request_denied"
            assert not origin.connections


def test_a_name_that_turns_to_loopback_is_refused_on_the_address() -> None:
    """DNS rebinding: what was judged is what is connected to, and every change is judged anew."""
    with Nameserver() as names, Origin() as origin, Origin(address="127.0.0.2", port=0) as other:
        names.holds("turn.example", "127.0.0.2", ttl=0)
        allow = [{"hosts": "*", "ports": other.port}, {"addresses": "127.0.0.2", "ports": [other.port]}]
        with proxy(allow=allow, dns={"resolvers": names.address}) as running:
            url = f"http://turn.example:{other.port}/"
            assert ask(running, url)[0] == 200
            # Asked once for each family: nobody looks again between the judgement and the connection.
            assert len(names.asked) == 2
            names.holds("turn.example", "127.0.0.1", ttl=0)
            assert ask(running, url)[0] == 403
            assert ask(running, f"turn.example:{other.port}", method="CONNECT")[0] == 403
            # Of several addresses those are left out that may not be asked.
            names.holds("turn.example", "127.0.0.1", "127.0.0.2", ttl=0)
            for _ in range(4):
                assert ask(running, url)[0] == 200
            assert not origin.connections and len(other.asked) == 5


def test_answers_are_remembered_as_long_as_they_hold() -> None:
    with Nameserver() as names, Origin() as origin:
        names.holds("a.example", "127.0.0.1", ttl=300)
        with proxy(origin, dns={"resolvers": [names.address]}) as running:
            for _ in range(3):
                assert ask(running, f"http://a.example:{origin.port}/")[0] == 200
            assert len(names.asked) == 2 and len({each.port for each in names.asked}) == 2
            assert origin.asked[0].get("host") == f"a.example:{origin.port}"
        names.asked.clear()
        with proxy(origin, dns={"resolvers": names.address, "max_ttl": "1ms"}) as running:
            for _ in range(2):
                assert ask(running, f"http://a.example:{origin.port}/")[0] == 200
            assert len(names.asked) == 4
        names.truncates = True
        with proxy(origin, dns={"resolvers": names.address}) as running:
            assert ask(running, f"http://a.example:{origin.port}/")[0] == 200
            assert any(each.over_tcp for each in names.asked)


def test_names_without_an_address() -> None:
    with Nameserver() as names, proxy(dns={"resolvers": names.address, "timeout": "500ms"}) as running:
        assert ask(running, "http://nobody.example/")[0] == 502
        names.is_silent = True
        assert ask(running, "http://silent.example/")[0] == 502
        details = [entry["detail"] for entry in running.log(2)]
        assert {entry["error"] for entry in running.log(2)} == {"dns_error"}
        assert details == ["there is no such name", "no DNS server has answered"]


def test_addresses_of_one_kind_do_not_wait_for_those_of_the_other() -> None:
    with Nameserver() as names, Origin() as origin:
        names.holds("half.example", "127.0.0.1")
        names.silent_for.add("AAAA")
        # The client would have gone long before.
        with proxy(origin, dns={"resolvers": names.address, "timeout": "5m"}) as running:
            assert ask(running, f"http://half.example:{origin.port}/")[0] == 200


def test_without_resolvers_the_system_tells() -> None:
    with Origin() as origin, proxy(origin) as running:
        assert ask(running, f"http://localhost:{origin.port}/")[0] == 200


def test_an_address_that_refuses_is_followed_by_the_next() -> None:
    with Nameserver() as names, Origin(address="127.0.0.2") as origin:
        names.holds("two.example", "127.0.0.1", "127.0.0.2")
        with proxy(origin, dns={"resolvers": names.address}) as running:
            assert ask(running, f"http://two.example:{origin.port}/")[0] == 200
            (entry,) = running.log(1)
            assert entry["endpoint"] == f"127.0.0.2:{origin.port}"
            names.holds("none.example", "127.0.0.3")
            assert ask(running, f"none.example:{origin.port}", method="CONNECT")[0] == 502
            assert running.log(2)[1]["error"] == "connection_refused"


def test_allow_and_deny_by_host_port_and_address() -> None:
    with Nameserver() as names, Origin() as origin:
        port = origin.port
        for name in ("a.example", "b.a.example", "c.example", "d.example"):
            names.holds(name, "127.0.0.1")
        inside = {"addresses": "127.0.0.0/8", "ports": port}
        allow = [{**inside, "hosts": [".a.example", "c.example"]}]
        deny = ["b.a.example", f"c.example:{port + 1}"]
        with proxy(allow=allow, deny=deny, dns={"resolvers": names.address}) as running:
            expected = {"a.example": 200, "b.a.example": 403, "c.example": 200, "d.example": 403}
            for name, told in expected.items():
                assert ask(running, f"http://{name}:{port}/")[0] == told, name
            assert not any(each.name == "d.example" for each in names.asked)
            details = [entry.get("detail") for entry in running.log(4)]
            assert details[1] == "denied by `b.a.example`" and details[3] == "no rule of `allow` fits"
        with proxy(allow=["*", inside], deny="127.0.0.1", dns={"resolvers": names.address}) as running:
            assert ask(running, f"http://a.example:{port}/")[0] == 403
            assert running.log(1)[0]["detail"] == "denied by `127.0.0.1/32`"


def test_ports_are_closed_unless_they_are_opened() -> None:
    with Origin() as origin:
        rules: dict[str, Any] = {"allow": ["*", "127.0.0.0/8"]}
        with proxy(**rules) as running:
            assert ask(running, f"http://127.0.0.1:{origin.port}/")[0] == 403
            for port in (22, 25, 80, 8443):
                assert ask(running, f"127.0.0.1:{port}", method="CONNECT")[0] == 403
            assert {entry["detail"] for entry in running.log(5)} == {"the port is not open"}
        with proxy(**rules, ports=[origin.port]) as running:
            assert ask(running, f"http://127.0.0.1:{origin.port}/")[0] == 200
            assert ask(running, f"127.0.0.1:{origin.port}", method="CONNECT")[0] == 403
        with proxy(**rules, connect_ports=[origin.port]) as running:
            assert ask(running, f"http://127.0.0.1:{origin.port}/")[0] == 403
            tunnel(running, origin.authority).close()


def test_a_metadata_service_has_to_be_named_itself() -> None:
    configuration = (
        "{{ listeners: {{ out: {{ address: 127.0.0.1, port: 3128, forward: {{ allow: {0} }} }} }} }}"
    )

    def told(allow: str, url: str) -> str:
        decision = decide(configuration.format(allow), {"method": "GET", "url": url, "listener": "out"})
        return str(decision.get("detail", decision["outcome"]))

    url = "http://169.254.169.254/latest"
    assert told("['*', 169.254.0.0/16]", "http://169.254.1.1/") == "proxy"
    assert told("['*', 169.254.0.0/16]", url) == "the address is a metadata service's"
    assert told("['*', 0.0.0.0/0]", url) == "the address is a metadata service's"
    assert told("['*', 169.254.169.254]", url) == "proxy"
    assert told("['*', 169.254.169.254]", "http://[::ffff:169.254.169.254]/") == "proxy"
    assert told("['*', 'fd00::/8']", "http://[fd00:ec2::254]/") == "the address is a metadata service's"


def test_the_proxy_and_the_admin_listener_are_out_of_reach() -> None:
    with Nameserver() as names:
        names.holds("here.example", "127.0.0.1")
        # Whatever is allowed.
        allow = [{"addresses": ["0.0.0.0/0", "::/0", "127.0.0.1", "::1"]}]
        everything: dict[str, Any] = {"allow": allow, "dns": {"resolvers": names.address}}
        with proxy(**everything, ports=list(range(1024, 65_535))) as running:
            for port in running.ports.values():
                hosts = (
                    "127.0.0.1",
                    "localhost",
                    "[::ffff:127.0.0.1]",
                    "127.0.0.2",
                    "0.0.0.0",
                    "here.example",
                )
                for host in hosts:
                    told = ask(running, f"http://{host}:{port}/metrics")[0]
                    # What is bound to one address is not at another one.
                    is_elsewhere = host in ("127.0.0.2", "localhost")
                    assert told == 403 or (is_elsewhere and told == 502), (host, port, told)
            entries = running.log(len(running.ports) * 6)
            details = {entry["detail"] for entry in entries if entry["status"] == 403}
            assert details == {"it leads back to this node"}
