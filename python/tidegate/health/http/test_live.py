# SPDX-License-Identifier: Apache-2.0
"""The check through a real node."""

import pytest

from tidegate.testing import Reply, Script, endpoint, gateway, wait_until


def health(script: Script) -> str:
    """What the check says of an endpoint that answers like this."""
    with endpoint(script.respond, raw=script.raw) as upstream:
        text = (
            "listeners: {web: {port: 0}}\n"
            f"backends: {{b: {{endpoints: ['{upstream.address}'], "
            "health_check: {type: http, interval: 50ms, healthy_after: 1, unhealthy_after: 1}}}\n"
            "routes: [{path: /, to: b}]"
        )
        with gateway(text, threads=1) as running:

            def said() -> str:
                found: str = running.status()["backends"][0]["endpoints"][0]["health"]
                return found

            assert wait_until(lambda: said() != "unchecked")
            return said()


@pytest.mark.parametrize("interim", [(), (103,), (100, 102, 103)])
def test_what_is_sent_before_the_response_is_not_judged(interim: tuple[int, ...]) -> None:
    assert health(Script(Reply(200, interim=interim))) == "up"
    assert health(Script(Reply(503, interim=interim))) == "down"


def test_an_endpoint_that_only_announces_a_response_is_down() -> None:
    assert health(Script(raw=b"HTTP/1.1 103 Early Hints\r\n\r\n")) == "down"
