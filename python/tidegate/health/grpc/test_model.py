# SPDX-License-Identifier: Apache-2.0
"""Settings of `grpc`: good and bad."""

import pytest

from tidegate.config.backend import Backend
from tidegate.config.problem import ConfigError
from tidegate.health.grpc import GrpcCheck, Settings


def test_a_bare_type_asks_for_the_server_as_a_whole() -> None:
    assert Settings is GrpcCheck
    assert Backend(health_check="grpc", http2=True).health_check == GrpcCheck(service=None)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"service": ""}, "must not be empty"),
        ({"service": 1}, "service"),
        ({"host": "http://a"}, "is more than a host"),
        ({"service_name": "a.B"}, "write `service`"),
        ({"port": 80}, "write the port in the endpoint's address"),
        ({"timeout": "0s"}, "must be longer than 0"),
    ],
)
def test_what_makes_no_call_is_refused(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        GrpcCheck(**settings)


def test_it_wants_a_backend_that_speaks_http2() -> None:
    with pytest.raises(ConfigError, match="calls of gRPC go over HTTP/2; write `http2: true`"):
        Backend(health_check="grpc")
