# SPDX-License-Identifier: Apache-2.0
"""Settings of `python`: good and bad."""

import pytest

from tidegate.config.check import check_gateway
from tidegate.config.gateway import Gateway
from tidegate.config.problem import ConfigError
from tidegate.health.python import PythonCheck, Settings


def gateway(kind: str, *, name: str = "lag", to: object = "shop") -> Gateway:
    """A gateway whose backend is checked by `lag`."""
    return Gateway(
        functions={name: {"handler": "checks:lag", "kind": kind}},
        listeners={"web": {"port": 8080}},
        backends={"shop": {"endpoints": ["h:1"], "health_check": {"type": "python", "function": "lag"}}},
        routes=[{"path": "/", "to": to}],
    )


def test_it_names_a_health_check() -> None:
    assert Settings is PythonCheck
    check_gateway(gateway("health_check"))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"kind": "policy"}, "`lag` is a `policy`, no health check; write `kind: health_check` if it is one"),
        ({"kind": "health_check", "name": "leg"}, "no function `lag`; did you mean `leg`"),
        (
            {"kind": "health_check", "to": {"function": "lag"}},
            "health check, which answers no requests; name it in a backend",
        ),
    ],
)
def test_what_is_no_health_check_is_refused(given: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        check_gateway(gateway(**given))


def test_tidegates_own_function_is_nobody_elses() -> None:
    with pytest.raises(ConfigError, match=r"`tidegate\.commands` is tidegate's own"):
        check_gateway(gateway("health_check", name="tidegate.commands"))
