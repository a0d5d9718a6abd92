# SPDX-License-Identifier: Apache-2.0
"""The shop's cart, kept by each instance for itself: a session must come back to where its cart is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.integration.settings.kit import ask
from tidegate.demo import files
from tidegate.demo.client import request, wait_for
from tidegate.testing import RunningGateway, gateway

from .test_affinity import value_of

SESSIONS, REQUESTS = 50, 1000


@contextmanager
def cart(number: int, port: int, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A cart service with data of its own."""
    data = folder / f"cart-{number}"
    data.mkdir()
    address = f"127.0.0.1:{port}"
    process = subprocess.Popen(
        [sys.executable, "-m", "shop.serve", "shop.cart:app", "--address", "127.0.0.1", "--port", str(port)],
        env={
            **os.environ,
            "SHOP_INSTANCE": f"cart-{number}",
            "SHOP_ZONE": "az-1",
            "SHOP_DATA": str(data),
            "SHOP_GATEWAY": f"http://{address}",
            "PYTHONPATH": str(files.root()),
        },
        stderr=subprocess.DEVNULL,
    )
    try:
        assert wait_for(lambda: request(address, "/healthz").status == 200, 60.0)
        yield process
    finally:
        process.kill()
        process.wait()


class Customer:
    """A session with its cookie."""

    def __init__(self, running: RunningGateway, user: int) -> None:
        self.running, self.user = running, user
        self.cookie = ""
        self.moves = 0

    def put(self, sku: str) -> str:
        """Puts something into the cart; the instance that took it."""
        headers = ["Content-Type: application/x-www-form-urlencoded"]
        headers += [f"Cookie: tidegate={self.cookie}"] if self.cookie else []
        response = ask(
            self.running, f"/cart/{self.user}", method="POST", headers=headers, body=f"sku={sku}".encode()
        )
        assert response.status == 200, response
        if fresh := value_of(response):
            self.moves += bool(self.cookie)
            self.cookie = fresh
        return response.get("x-served-by") or ""


@pytest.fixture
def ports() -> list[int]:
    from tests.ports import free_port

    return [free_port() for _ in range(3)]


def test_a_cart_stays_and_moves_once_when_its_instance_dies(tmp_path: Path, ports: list[int]) -> None:
    with ExitStack() as stack:
        carts = [stack.enter_context(cart(number, port, tmp_path)) for number, port in enumerate(ports)]
        listed = ", ".join(f'"127.0.0.1:{port}"' for port in ports)
        running = stack.enter_context(
            gateway(
                f"""
listeners: {{ web: {{ port: 0 }} }}
backends:
  cart:
    endpoints: [{listed}]
    affinity: {{ by: cookie, keys: [a-key-that-gateways-share] }}
    passive_health: {{ failures: 1, exclude_for: 1h }}
routes: [{{ path: /cart, to: cart }}]
"""
            )
        )
        customers = [Customer(running, number) for number in range(SESSIONS)]
        homes: dict[int, set[str]] = {number: set() for number in range(SESSIONS)}
        for turn in range(REQUESTS):
            customer = customers[turn % SESSIONS]
            homes[customer.user].add(customer.put("lamp"))
        assert all(len(home) == 1 for home in homes.values()), "no cart ever left its instance"
        assert [customer.moves for customer in customers] == [0] * SESSIONS
        at = {user: home.pop() for user, home in homes.items()}
        assert set(Counter(at.values())) == {"cart-0", "cart-1", "cart-2"}
        forged = ask(running, "/cart/1", headers=["Cookie: tidegate=" + "A" * 32])
        assert forged.status == 200 and value_of(forged)

        carts[0].kill()
        carts[0].wait()
        for _ in range(3):
            for customer in customers:
                instance = customer.put("rope")
                assert instance != "cart-0"
                assert at[customer.user] in ("cart-0", instance), "only the carts of the dead one move"
                homes[customer.user].add(instance)
        assert all(len(home) == 1 for home in homes.values())
        moved = [customer.moves for customer in customers]
        assert moved == [int(at[user] == "cart-0") for user in range(SESSIONS)]
