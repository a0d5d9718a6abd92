# SPDX-License-Identifier: Apache-2.0
"""Both kinds of health at once: an endpoint that real traffic excluded and that its checks find well."""

import threading

import pytest

from tidegate.testing import Message, RunningGateway, Wire, endpoint, gateway, wait_until

TIMEOUT = 60


def health(running: RunningGateway, address: str) -> str:
    [backend] = running.status()["backends"]
    return next(str(each["health"]) for each in backend["endpoints"] if each["address"] == address)


def ask(running: RunningGateway) -> int:
    with Wire(("127.0.0.1", running.port), timeout=TIMEOUT) as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET")
        assert wire.wait_final(1), wire.closed
        return wire.final_responses[0].status


@pytest.mark.parametrize("checked", [True, False])
def test_checks_that_pass_end_an_exclusion_and_nothing_else_does_before_its_time(checked: bool) -> None:
    is_well = threading.Event()

    def answer(request: Message) -> int | bytes:
        if request.target == "/check":
            return 200 if is_well.is_set() else 503
        return 200 if is_well.is_set() else b"no response\r\n\r\n"

    check = "health_check: {type: http, path: /check, interval: 50ms, healthy_after: 2, unhealthy_after: 100}"
    with endpoint(answer) as sick, endpoint() as good:
        text = f"""
listeners: {{web: {{port: 0}}}}
backends:
  b:
    endpoints: ['{sick.address}', '{good.address}']
    balancing: round_robin
    passive_health: {{failures: 2, exclude_for: 1h}}
    {check if checked else ""}
routes: [{{path: /, to: b}}]
"""
        with gateway(text, threads=1) as running:

            def is_excluded() -> bool:
                ask(running)
                return health(running, sick.address) == "excluded"

            assert wait_until(is_excluded, TIMEOUT)
            is_well.set()
            if checked:
                assert wait_until(lambda: health(running, sick.address) == "up", TIMEOUT)
                before = len(sick.messages)
                assert wait_until(lambda: ask(running) == 200 and served(sick.messages[before:]), TIMEOUT)
            else:
                before = len(sick.messages)
                assert {ask(running) for _ in range(20)} == {200}
                assert len(sick.messages) == before
                assert health(running, sick.address) == "excluded"


def served(messages: list[Message]) -> bool:
    """Whether one of them is a request and not a check."""
    return any(message.target == "/" for message in messages)
