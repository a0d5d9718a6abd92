# SPDX-License-Identifier: Apache-2.0
"""The interop tests of gRPC, by grpc-go's client and server, without TLS and with it on both sides."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.grpc.test_calls import configuration
from tests.integration.tls.authority import Authority
from tests.ports import free_port
from tidegate.testing import RunningGateway, gateway, wait_until

pytestmark = [pytest.mark.needs("grpc-interop-client"), pytest.mark.needs("grpc-interop-server")]
TIMEOUT = 60.0
CASES = [
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "timeout_on_sleeping_server",
    "cancel_after_begin",
    "cancel_after_first_response",
    "status_code_and_message",
    "special_status_message",
    "custom_metadata",
    "unimplemented_method",
    "unimplemented_service",
]


def _program(name: str) -> str:
    own = Path(sys.executable).parent / name
    return str(own) if own.exists() else name


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@contextmanager
def _server(*arguments: str) -> Iterator[int]:
    port = free_port()
    command = [_program("grpc-interop-server"), "-port", str(port), *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        try:
            wait_until(lambda: _answers(port), TIMEOUT)
            yield port
        finally:
            running.kill()


def _failures(running: RunningGateway, *arguments: str) -> dict[str, str]:
    """Runs all cases; what those say that fail."""
    wrong = {}
    for case in CASES:
        server = ["-server_host", "localhost", "-server_port", str(running.port)]
        command = [_program("grpc-interop-client"), *server, "-test_case", case, *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=TIMEOUT)
        if done.returncode != 0:
            wrong[case] = done.stderr
    return wrong


def test_without_tls_no_case_fails() -> None:
    with _server() as port, gateway(configuration(port)) as running:
        assert _failures(running) == {}


def test_with_tls_on_both_sides_no_case_fails(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.pair("localhost")
    arguments = ["-use_tls", "-tls_cert_file", str(pair.cert), "-tls_key_file", str(pair.key)]
    with _server(*arguments) as port:
        text = configuration(
            port, listener=pair.listener(), endpoints=[f"localhost:{port}"], tls={"ca": str(authority.file)}
        )
        with gateway(text) as running:
            trusts = ["-use_tls", "-use_test_ca", "-ca_file", str(authority.file)]
            assert _failures(running, *trusts) == {}
            # What a client gives up as it asks reaches nobody.
            asked = [entry for entry in running.log(1) if "endpoint" in entry]
            assert {entry["endpoint_protocol"] for entry in asked} == {"HTTP/2"}
