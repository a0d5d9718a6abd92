# SPDX-License-Identifier: Apache-2.0
"""Addresses, hosts and URLs of backends."""

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.config import addresses, names
from tidegate.config.addresses import (
    backend_url,
    certificate_name,
    endpoint_address,
    host_pattern,
    listener_address,
    network,
    tls_name,
)


@pytest.mark.parametrize(
    ("read", "text", "result"),
    [
        (listener_address, "::", "::"),
        (listener_address, "0:0::1", "::1"),
        (listener_address, "[::1]", "::1"),
        (listener_address, "unix:/run/web.sock", "unix:/run/web.sock"),
        (endpoint_address, "10.0.0.1:80", "10.0.0.1:80"),
        (endpoint_address, "[2001:DB8::0:1]:80", "[2001:db8::1]:80"),
        (endpoint_address, "Shop.Example.:8080", "shop.example:8080"),
        (endpoint_address, "user_service:8080", "user_service:8080"),
        (endpoint_address, "unix:/run/app.sock", "unix:/run/app.sock"),
        (tls_name, "API.Internal.", "api.internal"),
        (tls_name, "2001:DB8::0:1", "2001:db8::1"),
        (certificate_name, "spiffe://example.org/shop", "spiffe://example.org/shop"),
        (certificate_name, "10.0.0.1", "10.0.0.1"),
        (network, "10.0.0.0/8", "10.0.0.0/8"),
        (network, "10.0.0.1", "10.0.0.1/32"),
        (network, "2001:DB8::/32", "2001:db8::/32"),
        (host_pattern, "API.Example.com", "api.example.com"),
        (host_pattern, "*.example.com", "*.example.com"),
        (host_pattern, "10.0.0.1", "10.0.0.1"),
        (host_pattern, "::1", "[::1]"),
        (host_pattern, "[::1]", "[::1]"),
        (addresses.authority, "Shop.example:8080", "shop.example:8080"),
        (addresses.authority, "shop.example", "shop.example"),
    ],
)
def test_addresses_have_one_spelling(read: Callable[[str], str], text: str, result: str) -> None:
    assert read(text) == result
    assert read(result) == result


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (listener_address, "localhost", "write `127.0.0.1` or `::1`"),
        (listener_address, "127.0.0.1:80", "write it as `port: 80`"),
        (listener_address, "[::]:80", "write it as `port: 80`"),
        (listener_address, ":80", "write it as `port: 80`"),
        (listener_address, "/run/web.sock", "write `unix:/run/web.sock`"),
        (listener_address, "fe80::1%eth0", "zone identifier"),
        (listener_address, "web.example", "is no IP address"),
        (endpoint_address, "10.0.0.1", "has no port; write `10.0.0.1:8080`"),
        (endpoint_address, "10.0.0.256:80", "is no IPv4 address"),
        (endpoint_address, "10.1:80", "is no IPv4 address"),
        (endpoint_address, "::1:80", "write `[address]:port`"),
        (endpoint_address, "[::1]", "write `[::1]:8080`"),
        (endpoint_address, "[10.0.0.1]:80", "write `10.0.0.1:80`"),
        (endpoint_address, "h:0", "no port between 1 and 65535"),
        (endpoint_address, "h:65536", "no port between 1 and 65535"),
        (endpoint_address, "h:http", "no port between 1 and 65535"),
        (endpoint_address, "http://h:80/", "write `h:80`"),
        (endpoint_address, "https://h", "write `h:443`, and `tls: true` on the backend"),
        (tls_name, "*.internal", "write one name that the certificate is for"),
        (tls_name, "https://h", "more than a host; write its name"),
        (tls_name, "[::1]:443", "no IP address"),
        (certificate_name, "spiffe://a b", "is no URI"),
        (certificate_name, "*.internal", "write one name"),
        (endpoint_address, "unix:run.sock", "is not absolute"),
        (endpoint_address, "unix:/" + "x" * 107, "at most 107 bytes"),
        (endpoint_address, "ä.example:80", "write its `xn--` form"),
        (endpoint_address, "-a:80", "is no host name"),
        (network, "10.0.0.1/8", "write `10.0.0.0/8`"),
        (network, "10.0.0.0/33", "is no network"),
        (host_pattern, "*", "leave `hosts` out"),
        (host_pattern, "a.*.example", "only a first label `*.` can be open"),
        (host_pattern, "*example.com", "only a first label `*.` can be open"),
        (host_pattern, "api.example.com:443", "write `api.example.com`"),
        (host_pattern, "https://api.example.com", "write the host alone"),
        (host_pattern, "a..b", "is no host name"),
        (host_pattern, "", "is no host name"),
        (addresses.authority, "a/b", "is more than a host"),
        (addresses.authority, "*.a", "is no host"),
    ],
)
def test_what_is_no_address_is_refused_with_what_to_write(
    read: Callable[[str], str], text: str, message: str
) -> None:
    with pytest.raises(ValueError, match=r"(?s).") as caught:
        read(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "name", "address"),
    [
        ("http://localhost:8081", "http://localhost:8081", "localhost:8081"),
        ("HTTP://LocalHost/", "http://localhost:80", "localhost:80"),
        ("http://[::1]", "http://[::1]:80", "[::1]:80"),
        ("https://Shop.Example", "https://shop.example:443", "shop.example:443"),
        ("https://10.0.0.1:8443/", "https://10.0.0.1:8443", "10.0.0.1:8443"),
        ("unix:/run/app.sock", "unix:/run/app.sock", "unix:/run/app.sock"),
    ],
)
def test_a_url_names_a_backend_by_its_one_spelling(text: str, name: str, address: str) -> None:
    assert backend_url(text) == addresses.BackendUrl(name, address, name.startswith("https:"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wss://h", "`wss://` backends do not exist yet in this version"),
        ("https://h/api", "write `https://h` and `rewrite: { prefix: /api }`"),
        ("grpc://h", "`grpc://` is written as a backend with `http2: true`"),
        ("ws://h", "`ws://` backends do not exist yet"),
        ("gopher://h", "is no scheme of a backend"),
        ("http://", "has no host"),
        ("http://user:pw@h", "no user name or password"),
        ("http://h/api", "write `http://h` and `rewrite: { prefix: /api }`"),
        ("http://h?x", "has a path"),
        ("http://h:x", "no port between"),
    ],
)
def test_a_url_that_is_no_backend_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"(?s).") as caught:
        backend_url(text)
    assert message in str(caught.value)


@given(
    st.sampled_from(
        [
            listener_address,
            endpoint_address,
            network,
            host_pattern,
            addresses.authority,
            backend_url,
            addresses.ip_address,
            names.method,
            names.field_name,
            names.field_value,
            names.handler,
            names.name,
            names.route_name,
        ]
    ),
    st.one_of(st.text(max_size=40), st.text(alphabet="a1.:[]/*%-@\u0660", max_size=20)),
)
def test_any_text_is_read_or_refused_as_a_value(read: Callable[[str], object], text: str) -> None:
    with contextlib.suppress(ValueError):
        read(text)


@pytest.mark.parametrize("value", ["a\r\nb", "a\nb", " a", "a ", "a\0", "a\x7f", "x" * 8193])
def test_field_values_can_not_split_a_message(value: str) -> None:
    with pytest.raises(ValueError, match="no field value"):
        names.field_value(value)


@pytest.mark.parametrize("value", ["", "a", "a b", "a\tb", "é", "x" * 8192])
def test_other_field_values_are_kept(value: str) -> None:
    assert names.field_value(value) == value


@pytest.mark.parametrize("name", ["Host", "connection", "Content-Length", "TRANSFER-ENCODING", "via"])
def test_policies_can_not_change_framing(name: str) -> None:
    with pytest.raises(ValueError, match="can not be changed by a policy"):
        names.changeable_field_name(name)
