# SPDX-License-Identifier: Apache-2.0
"""Versions, ciphers and protocols: what `policy` allows, and what no client gets."""

from __future__ import annotations

import ssl

import pytest

from tests.integration.tls.authority import Authority, Pair
from tests.integration.tls.client import TIMEOUT, ask, configuration, failed, secured
from tidegate.testing import gateway, wait_until

TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def test_modern_is_tls_1_3_alone(authority: Authority, pair: Pair) -> None:
    with gateway(configuration(pair.listener(policy="modern"))) as running:
        with secured(running, authority.client(TLS13)) as client:
            assert ask(client)[1] == b"here"
        with pytest.raises(ssl.SSLError), secured(running, authority.client(TLS12)):
            pass
        assert failed(running, "no_shared_version") == 1


def test_intermediate_has_no_old_version_and_no_weak_cipher(authority: Authority, pair: Pair) -> None:
    old = authority.client()
    with pytest.warns(DeprecationWarning):
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    # Without forward secrecy, and with it but without authenticated encryption.
    weak = [authority.client(TLS12), authority.client(TLS12)]
    for context, ciphers in zip(weak, ("AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256"), strict=True):
        context.set_ciphers(ciphers)
    with gateway(configuration(pair.listener(policy="intermediate"))) as running:
        for version in (TLS12, TLS13):
            with secured(running, authority.client(version)) as client:
                assert ask(client)[1] == b"here"
        for context in (old, *weak):
            with pytest.raises(ssl.SSLError), secured(running, context):
                pass
        assert failed(running, "no_shared_version") == 1
        assert failed(running, "no_shared_cipher") == 2


def test_a_client_that_wants_another_protocol_is_told_so(authority: Authority, pair: Pair) -> None:
    other, both = authority.client(), authority.client()
    other.set_alpn_protocols(["spdy/3"])
    both.set_alpn_protocols(["spdy/3", "http/1.1"])
    with gateway(configuration(pair.listener())) as running:
        with secured(running, both) as client:
            assert client.selected_alpn_protocol() == "http/1.1"
            assert ask(client)[1] == b"here"
        with pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"), secured(running, other):
            pass
        assert failed(running, "no_shared_protocol") == 1


def test_a_client_that_trusts_nobody_is_counted(pair: Pair) -> None:
    with gateway(configuration(pair.listener())) as running:
        with pytest.raises(ssl.SSLCertVerificationError), secured(running, ssl.create_default_context()):
            pass
        assert wait_until(lambda: failed(running, "client_alert") == 1, TIMEOUT)
