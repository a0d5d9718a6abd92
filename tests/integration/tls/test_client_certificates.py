# SPDX-License-Identifier: Apache-2.0
"""Clients that show certificates: who is let in, and what services, the log and routes learn of them."""

from __future__ import annotations

import base64
import ipaddress
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509

from tests.integration.http2 import client as http2
from tests.integration.supervised import supervised
from tests.integration.tls.authority import Authority, Pair
from tests.integration.tls.client import TIMEOUT, ask, configuration, entries, failed, request, secured
from tests.integration.tls.people import People, Person, client
from tidegate.testing import RunningGateway, endpoint, gateway, wait_until

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
SPIFFE = x509.UniformResourceIdentifier("spiffe://shop/cart")
DEVICE = x509.DNSName("Device-1.example")
PARTS = ["certificate", "chain", "subject", "names", "fingerprint", "serial"]


@pytest.fixture
def people(tmp_path: Path) -> People:
    return People(tmp_path)


def asking(pair: Pair, people: People, *routes: object, **settings: object) -> str:
    """A listener that asks clients for certificates of `people`."""
    entry = {"ca": str(people.file), **settings}
    return configuration(pair.listener(client_certificates=entry), *routes)


def served(
    running: RunningGateway, context: ssl.SSLContext, host: str = "localhost", name: str | None = "localhost"
) -> int:
    """The status a client gets on a connection of its own."""
    with secured(running, context, name) as connected:
        return int(ask(connected, host=host)[0].split()[1])


def refused(running: RunningGateway, context: ssl.SSLContext, why: str) -> None:
    """The client is told by an alert, and it is counted: in TLS 1.3 it hears of it when it reads."""
    before = failed(running, why)
    with pytest.raises((ssl.SSLError, OSError, AssertionError)):
        served(running, context)
    assert wait_until(lambda: failed(running, why) == before + 1, TIMEOUT), why


@pytest.mark.parametrize("version", VERSIONS)
def test_who_is_let_in_and_why_the_others_are_not(
    authority: Authority, pair: Pair, people: People, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    stranger = People(tmp_path, "strangers")
    with gateway(asking(pair, people)) as running:

        def bad(person: Person | None, why: str) -> None:
            refused(running, client(authority, person, version), why)

        assert served(running, client(authority, people.person(), version)) == 200
        bad(None, "certificate_missing")
        bad(people.person("late", days=-1), "certificate_expired")
        bad(stranger.person("stranger"), "certificate_unknown_issuer")
        bad(people.person("server", is_server=True), "certificate_invalid")
        entry = entries(running, 5)[-1]
        assert entry["error"] == "tls_handshake_error" and "certificate" in entry["detail"]


def test_an_alert_says_what_is_wrong(authority: Authority, pair: Pair, people: People) -> None:
    with gateway(asking(pair, people)) as running:
        for person, says in (
            (None, "certificate required"),
            (people.person("late", days=-1), "certificate expired"),
        ):
            with pytest.raises(ssl.SSLError, match=r"(?i)" + says.replace(" ", ".")):
                served(running, client(authority, person, ssl.TLSVersion.TLSv1_3))


def test_optional_serves_those_without_and_refuses_those_with_a_wrong_one(
    authority: Authority, pair: Pair, people: People, tmp_path: Path
) -> None:
    with endpoint() as upstream:
        text = asking(pair, people, {"path": "/", "to": upstream.url}, mode="optional")
        with gateway(text) as running:
            assert served(running, client(authority)) == 200
            assert served(running, client(authority, people.person())) == 200
            without, shown = upstream.wait_for(2)
            assert without.get("client-cert") is None
            assert shown.get("client-cert") is not None
            refused(
                running,
                client(authority, People(tmp_path, "x").person("x")),
                "certificate_unknown_issuer",
            )


ODD: dict[str, bytes] = {
    "NUL": b"\x30\x10\x82\x0ea.example\x00.evi",
    "space": b"\x30\x05\x82\x03a b",
    "line": b"\x30\x06\x86\x04a:\r\n",
    "empty": b"\x30\x02\x82\x00",
}


@pytest.mark.parametrize("raw", ODD.values(), ids=ODD)
def test_a_certificate_with_an_odd_name_is_refused(
    authority: Authority, pair: Pair, people: People, raw: bytes
) -> None:
    with gateway(asking(pair, people)) as running:
        refused(running, client(authority, people.person("odd", raw_names=raw)), "certificate_invalid")
        assert served(running, client(authority, people.person())) == 200


def test_names_decide_by_their_kind(authority: Authority, pair: Pair, people: People) -> None:
    address = x509.IPAddress(ipaddress.ip_address("10.0.0.7"))
    mailbox = x509.RFC822Name("ops@a.example")
    names = ["*.devices.example", "spiffe://shop/*", "@a.example", "10.0.0.7"]
    good = [x509.DNSName("One.devices.example"), SPIFFE, mailbox, address]
    bad = [
        x509.DNSName("a.b.devices.example"),
        x509.UniformResourceIdentifier("spiffe://shop.evil/cart"),
        x509.DNSName("10.0.0.7"),
        x509.RFC822Name("ops@b.example"),
    ]
    with gateway(asking(pair, people, names=names)) as running:
        for number, name in enumerate(good):
            assert served(running, client(authority, people.person(f"good{number}", name))) == 200
        for number, name in enumerate(bad):
            refused(running, client(authority, people.person(f"bad{number}", name)), "certificate_name")
        # A common name is no name (RFC 9525 §2).
        refused(running, client(authority, people.person("one.devices.example")), "certificate_name")


def test_chains_are_as_long_as_they_may_be(
    authority: Authority, pair: Pair, people: People, tmp_path: Path
) -> None:
    first = People(tmp_path, "first", people)
    second = People(tmp_path, "second", first)
    with gateway(asking(pair, people, depth=1)) as running:
        assert served(running, client(authority, first.person("one"))) == 200
        refused(running, client(authority, second.person("two")), "certificate_unknown_issuer")
        # Much that belongs to nothing is no way around it, and is not looked at for long.
        assert served(running, client(authority, people.person("many", more=60))) == 200
        with pytest.raises((ssl.SSLError, OSError, AssertionError)):
            served(running, client(authority, second.person("huge", more=200)))
    with gateway(asking(pair, people, depth=0)) as running:
        refused(running, client(authority, first.person("one")), "certificate_unknown_issuer")


def test_endpoints_and_the_log_learn_who_asks(
    authority: Authority, pair: Pair, people: People, tmp_path: Path
) -> None:
    between = People(tmp_path, "between", people)
    person = between.person("cart", SPIFFE, DEVICE)
    with endpoint() as upstream:
        text = asking(pair, people, {"path": "/", "to": upstream.url}, forward=PARTS)
        with gateway(text) as running:
            with secured(running, client(authority, person)) as connected:
                ask(connected)
                ask(connected)
            message = upstream.wait_for(2)[-1]
            own = base64.b64encode(person.der).decode()
            assert message.get("client-cert") == f":{own}:"
            chain = message.get("client-cert-chain")
            assert chain is not None and chain.count(":") == 2 and own not in chain
            assert message.get("x-client-cert-subject") == "CN=cart,O=Shop\\, Inc."
            assert message.get("x-client-cert-names") == "uri=spiffe://shop/cart, dns=device-1.example"
            assert message.get("x-client-cert-fingerprint") == person.fingerprint
            assert message.get("x-client-cert-serial") == person.serial
            assert entries(running, 2)[-1]["client_certificate"] == {
                "fingerprint": person.fingerprint,
                "serial": person.serial,
                "subject": "CN=cart,O=Shop\\, Inc.",
                "names": "uri=spiffe://shop/cart, dns=device-1.example",
            }


SPOOFED = (
    "Client-Cert: :AAAA:\r\nclient-cert: :BBBB:\r\nCLIENT_CERT: :CCCC:\r\nClient-Cert-Chain: :AAAA:\r\n"
    "X-Client-Cert-Subject: CN=admin\r\nx_client_cert_names: dns=admin\r\nX-Client.Cert-Serial: 1\r\n"
    "X-Forwarded-Client-Cert: Hash=1\r\nSSL-Client-S-DN: CN=admin\r\nX-SSL-Client-Verify: SUCCESS\r\n"
    "X-Amzn-Mtls-Clientcert: x\r\n"
)


@pytest.mark.parametrize("mode", ["optional", "off", None])
def test_nobody_says_of_himself_who_he_is(
    authority: Authority, pair: Pair, people: People, mode: str | None
) -> None:
    entries_of = {"optional": {"mode": "optional", "ca": str(people.file)}, "off": {"mode": "off"}}
    settings = {} if mode is None else {"client_certificates": entries_of[mode]}
    listeners = {"web": pair.listener(**settings), "plain": {"port": 60_080}}
    with endpoint() as upstream:
        route = {"path": "/", "to": upstream.url}
        with gateway(configuration({}, route, listeners=listeners)) as running:
            trailed = f"{SPOOFED}Transfer-Encoding: chunked\r\nTrailer: Client-Cert\r\n"
            body = f"0\r\n{SPOOFED}X-Fine: yes\r\n\r\n".encode()
            head = request(method="POST", more=trailed)
            with secured(running, client(authority)) as connected:
                ask(connected, more=SPOOFED)
                connected.sendall(head + body)
                assert connected.recv(12) == b"HTTP/1.1 200"
            place = ("127.0.0.1", running.ports["plain"])
            with socket.create_connection(place, TIMEOUT) as bare:
                ask(bare, more=SPOOFED)
            for message in upstream.wait_for(3):
                told = [name.lower() for name, _ in (*message.fields, *message.trailers)]
                assert not any(b"cert" in name or b"ssl" in name for name in told), told
            assert [name for name, _ in upstream.wait_for(3)[1].trailers] == [b"X-Fine"]


def test_what_a_trusted_proxy_says_counts_where_nobody_is_asked_here(
    authority: Authority, pair: Pair, people: People
) -> None:
    person = people.person()
    listeners = {
        "web": pair.listener(client_certificates={"ca": str(people.file), "forward": ["fingerprint"]}),
        "plain": {"port": 60_080},
    }
    with endpoint() as upstream:
        route = {"path": "/", "to": upstream.url}
        around = {"threads": 1, "trusted_proxies": ["127.0.0.0/8"], "admin": {"port": 60_999}}
        text = configuration({}, route, listeners=listeners, gateway=around)
        with gateway(text) as running:
            place = ("127.0.0.1", running.ports["plain"])
            with socket.create_connection(place, TIMEOUT) as bare:
                ask(bare, more="Client-Cert: :AAAA:\r\nClient_Cert: :BBBB:\r\n")
            with secured(running, client(authority, person)) as connected:
                ask(connected, more=SPOOFED)
            passed, replaced = upstream.wait_for(2)
            assert passed.get("client-cert") == ":AAAA:" and passed.get("client_cert") is None
            # The proxy's own certificate is told of, and nothing that it says of another.
            assert replaced.get("client-cert") is None and replaced.get("client-cert-chain") is None
            assert replaced.get("x-client-cert-subject") is None
            assert replaced.get("x-client-cert-fingerprint") == person.fingerprint


def test_revoked_certificates_are_refused_and_expired_lists_too(
    authority: Authority, pair: Pair, people: People
) -> None:
    good, lost = people.person("good"), people.person("lost")
    text = asking(pair, people, crl=str(people.list(lost)))
    with gateway(text) as running:
        assert served(running, client(authority, good)) == 200
        refused(running, client(authority, lost), "certificate_revoked")
        people.list(lost, days=-1)
        running.reload(text)
        for person in (good, lost):
            refused(running, client(authority, person), "certificate_revocation_unknown")
        running.reload(asking(pair, people, crl=str(people.list(lost, days=-1)), expired_crl="accept"))
        assert served(running, client(authority, good)) == 200
        refused(running, client(authority, lost), "certificate_revoked")


def test_an_authority_without_a_list_is_not_believed_where_there_are_lists(
    authority: Authority, pair: Pair, people: People, tmp_path: Path
) -> None:
    other = People(tmp_path, "other")
    both = tmp_path / "both.pem"
    both.write_bytes(people.file.read_bytes() + other.file.read_bytes())
    with gateway(asking(pair, people, ca=str(both), crl=[str(people.list())])) as running:
        assert served(running, client(authority, people.person())) == 200
        refused(running, client(authority, other.person("o")), "certificate_revocation_unknown")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_is_not_taken_up_after_what_is_asked_has_changed(
    authority: Authority, pair: Pair, people: People, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    person = people.person()
    context = client(authority, person, version)

    def again(running: RunningGateway, session: ssl.SSLSession | None) -> tuple[bool, ssl.SSLSession]:
        with secured(running, context, session=session) as connected:
            assert ask(connected)[1] == b"here"
            assert connected.session is not None
            return bool(connected.session_reused), connected.session

    text = asking(pair, people, crl=str(people.list()))
    with gateway(text) as running:
        _, session = again(running, None)
        is_reused, session = again(running, session)
        assert is_reused
        assert entries(running, 2)[-1]["client_certificate"]["fingerprint"] == person.fingerprint
        # The same certificate with another list: judged anew.
        people.list(people.person("other"))
        running.reload(text)
        is_reused, session = again(running, session)
        assert not is_reused
        # Revoked: the ticket of before is no way in.
        people.list(person)
        running.reload(text)
        with pytest.raises((ssl.SSLError, OSError, AssertionError)):
            again(running, session)
        assert wait_until(lambda: failed(running, "certificate_revoked") == 1, TIMEOUT)
        # Another authority, by a file of the same name.
        stranger = People(tmp_path)
        running.reload(asking(pair, stranger))
        with pytest.raises((ssl.SSLError, OSError, AssertionError)):
            again(running, session)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_without_a_certificate_is_no_way_to_where_one_is_asked_for(
    authority: Authority, pair: Pair, people: People, version: ssl.TLSVersion
) -> None:
    context = client(authority, None, version)
    entries_of = [{"hosts": ["inner.example"], "ca": str(people.file)}]
    text = configuration(pair.listener(client_certificates=entries_of))
    with gateway(text) as running:
        with secured(running, context, "localhost") as connected:
            ask(connected)
            session = connected.session
        with (
            pytest.raises((ssl.SSLError, OSError, AssertionError)),
            secured(running, context, "inner.example", session=session) as connected,
        ):
            ask(connected, host="inner.example")
        assert wait_until(lambda: failed(running, "certificate_missing") == 1, TIMEOUT)


def test_kept_connections_are_judged_by_what_is_asked_now(
    authority: Authority, pair: Pair, people: People
) -> None:
    good, lost = people.person("good"), people.person("lost")
    text = asking(pair, people, crl=str(people.list()))
    with (
        gateway(text) as running,
        secured(running, client(authority, good)) as kept,
        secured(running, client(authority, lost)) as cut,
    ):
        assert ask(kept)[1] == ask(cut)[1] == b"here"
        people.list(lost)
        running.reload(text)
        # Who stands goes on; who is revoked is told to come anew, and is refused then.
        assert ask(kept)[1] == b"here"
        assert ask(cut)[0].startswith(b"HTTP/1.1 421 ")
        assert cut.recv(1) == b""
        running.reload(configuration(pair.listener()))
        assert ask(kept)[1] == b"here"
    with gateway(configuration(pair.listener())) as running, secured(running, client(authority)) as kept:
        assert ask(kept)[1] == b"here"
        running.reload(text)
        assert ask(kept)[0].startswith(b"HTTP/1.1 421 ")


def test_hosts_ask_for_what_they_want_and_their_names_are_not_mixed(
    authority: Authority, people: People, tmp_path: Path
) -> None:
    pair = authority.pair("a.example", "b.example", "*.c.example", "open.c.example")
    others = People(tmp_path, "others")
    listener = pair.listener(
        client_certificates=[
            {"hosts": ["b.example"], "ca": str(people.file)},
            {"hosts": ["*.c.example"], "ca": str(others.file), "mode": "optional"},
            {"hosts": ["open.c.example"], "mode": "off"},
        ]
    )
    mine, yours = client(authority, people.person("mine")), client(authority, others.person("yours"))
    with gateway(configuration(listener)) as running:
        for context, name, hosts, status in (
            # Alike for all that nobody asks anything for; case, port and a dot at the end are no matter.
            (
                client(authority),
                "a.example",
                ("a.example", "A.example.:443", "open.c.example", "d.example"),
                200,
            ),
            # A probe names nobody.
            (client(authority), None, ("a.example", "127.0.0.1", "localhost"), 200),
            (client(authority), None, ("b.example", "x.c.example"), 421),
            (client(authority), "a.example", ("b.example", "B.EXAMPLE.:8443", "x.c.example"), 421),
            (mine, "b.example", ("b.example", "B.example.:60443"), 200),
            (mine, "B.EXAMPLE", ("b.example",), 200),
            (mine, "b.example", ("a.example", "x.c.example", "open.c.example"), 421),
            (yours, "x.c.example", ("x.c.example", "y.c.example"), 200),
            (yours, "x.c.example", ("open.c.example", "a.example", "b.example"), 421),
            (client(authority), "x.c.example", ("x.c.example",), 200),
            (client(authority), "open.c.example", ("open.c.example", "a.example"), 200),
        ):
            for host in hosts:
                assert served(running, context, host, name) == status, (name, host)
        told = running.explain({"method": "GET", "url": "https://b.example/"})
        assert told["client_certificates"] == "required"
        assert (
            running.explain({"method": "GET", "url": "https://y.c.example/"})["client_certificates"]
            == "optional"
        )
        assert running.explain({"method": "GET", "url": "https://a.example/"})["client_certificates"] is None
        entry = next(entry for entry in entries(running, 3) if entry["status"] == 421)
        assert entry["error"] == "misdirected_request"


def test_a_host_of_another_listener_is_misdirected(
    authority: Authority, people: People, tmp_path: Path
) -> None:
    inner = authority.pair("inner.example", file="inner")
    outer = authority.pair("outer.example", file="outer")
    listeners = {
        "web": outer.listener(),
        "inner": {**inner.listener(client_certificates=str(people.file)), "port": 60_444},
        "strict": {**outer.listener(unknown_name="refuse"), "port": 60_445},
    }
    with gateway(configuration({}, listeners=listeners)) as running:
        anyone = client(authority)
        assert served(running, anyone, "outer.example", "outer.example") == 200
        for name in ("outer.example", "inner.example", None):
            assert served(running, anyone, "inner.example", name) == 421
        told = running.explain({"method": "GET", "url": "https://inner.example/", "listener": "web"})
        assert (told["status"], told["kind"]) == (421, "misdirected_request")

        def strict(host: str, name: str | None) -> int:
            bare = socket.create_connection(("127.0.0.1", running.ports["strict"]), TIMEOUT)
            with anyone.wrap_socket(bare, server_hostname=name) as connected:
                return int(ask(connected, host=host)[0].split()[1])

        assert strict("outer.example", "outer.example") == 200
        assert strict("else.example", "outer.example") == 421
        assert strict("else.example", None) == 200


def test_files_are_followed_with_watch(authority: Authority, people: People) -> None:
    authority.pair("localhost")
    good, lost = people.person("good"), people.person("lost")
    people.list()
    text = f"""
listeners:
  web:
    address: 127.0.0.1
    port: PORT
    tls:
      certificates:
        - {{ cert: site.pem, key: site.key }}
      client_certificates: {{ ca: {people.file.name}, crl: people.crl }}
routes: [{{ path: /, to: {{ respond: here }} }}]
"""

    def is_served(port: int, person: Person) -> bool:
        bare = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        try:
            with client(authority, person).wrap_socket(bare, server_hostname="localhost") as connected:
                return ask(connected)[1] == b"here"
        except (OSError, AssertionError):
            return False

    with supervised(authority.folder, text, "--watch") as running:
        assert is_served(running.port, good) and is_served(running.port, lost)
        people.list(lost)
        assert wait_until(lambda: not is_served(running.port, lost), TIMEOUT)
        assert is_served(running.port, good)
        told = running.run("explain", "GET", "https://localhost/", "--live").stdout
        assert "a client certificate is required" in told
        People(authority.folder).person("renewed")
        assert wait_until(lambda: not is_served(running.port, good), TIMEOUT)


def _broken(folder: Path) -> None:
    (folder / "people.pem").write_text("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n")


def _no_list(folder: Path) -> None:
    (folder / "people.crl").write_text("nothing")


def _der_list(folder: Path) -> None:
    (folder / "people.crl").write_bytes(b"\x30\x82\xff\xfe")


def _gone(folder: Path) -> None:
    (folder / "people.pem").unlink()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_broken, "people.pem"),
        (_no_list, "has no list of revoked certificates"),
        (_der_list, "openssl crl -inform DER"),
        (_gone, "people.pem` can not be read"),
    ],
)
def test_files_that_do_not_do_are_refused_and_the_old_ones_stay(
    authority: Authority, pair: Pair, people: People, spoil: Callable[[Path], None], says: str
) -> None:
    text = asking(pair, people, crl=str(people.list()))
    person = people.person()
    with gateway(text) as running:
        spoil(people.folder)
        with pytest.raises(Exception, match=says.replace("(", r"\(")):
            running.reload(text)
        assert served(running, client(authority, person)) == 200
        with pytest.raises((ssl.SSLError, OSError, AssertionError)):
            served(running, client(authority))


def test_streams_of_a_connection_are_judged_one_by_one(
    authority: Authority, people: People, tmp_path: Path
) -> None:
    pair = authority.pair("a.example", "b.example")
    person = people.person()
    entry = {"hosts": ["b.example"], "ca": str(people.file), "forward": PARTS}
    with endpoint() as upstream:
        text = configuration(pair.listener(client_certificates=[entry]), {"path": "/", "to": upstream.url})
        with gateway(text) as running:
            with http2.secured(running, client(authority), "a.example") as connected:
                for host, status in (("a.example", 200), ("B.example:443", 421), ("a.example", 200)):
                    assert connected.ask(host=host).status == status
            with http2.secured(running, client(authority, person), "b.example") as connected:
                spoofed = [("client-cert", ":AAAA:"), ("x_client_cert_names", "dns=admin")]
                assert connected.ask(host="b.example", headers=spoofed).status == 200
                assert connected.ask(host="a.example").status == 421
                told = connected.ask(
                    host="b.example", method="POST", body=b"x", trailers=[("client-cert", ":AAAA:")]
                )
                assert told.status == 200
            message, last = upstream.wait_for(4)[-2:]
            assert message.get("x-client-cert-fingerprint") == person.fingerprint
            assert message.get("client-cert") == f":{base64.b64encode(person.der).decode()}:"
            assert message.get("x_client_cert_names") is None
            assert last.trailers == ()
