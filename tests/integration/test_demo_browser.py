# SPDX-License-Identifier: Apache-2.0
"""The shop in a real browser, which trusts the authority for development: an order is followed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.integration.apps.browser import Page, browser
from tidegate.demo.client import wait_for
from tidegate.demo.running import Running
from tidegate.demo.topology import TOPOLOGIES

pytest.importorskip("tidegate._engine", reason="the compiled module is not built (make setup)")

DEADLINE = 60.0


def trust(authority: Path, home: Path) -> None:
    """Has browsers whose home it is believe the authority, as `tidegate dev-cert --trust` does."""
    store = home / ".pki" / "nssdb"
    store.mkdir(parents=True)
    database = ["-d", f"sql:{store}"]
    subprocess.run(["certutil", "-N", *database, "--empty-password"], check=True)
    subprocess.run(["certutil", "-A", *database, "-n", "shop", "-t", "C,,", "-i", str(authority)], check=True)


def seen(page: Page, expression: str) -> bool:
    return wait_for(lambda: bool(page.evaluate(expression)), DEADLINE, pause=0.1)


@pytest.mark.needs("certutil", "chromium")
@pytest.mark.usefixtures("development")
def test_an_order_is_followed_without_a_reload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    with Running(TOPOLOGIES["chain"], 0) as running:
        trust(running.certificate.authority, home)
        url = f"{running.places.entry}/"
        with browser(tmp_path / "profile", "localhost") as page:
            page.open(url)
            assert page.statuses[url] == 200
            page.evaluate("window.stays = true; document.querySelector('.product button').click()")
            assert seen(page, "document.querySelector('.count').textContent === '1'"), page.errors
            page.evaluate("document.querySelector('form[action=\"/orders\"] button').click()")
            assert seen(page, "document.querySelector('[data-order]') !== null"), page.errors
            assert seen(page, "document.querySelector('[data-order]').textContent === 'sent'"), page.errors
            assert page.evaluate("window.stays"), "it was one page all the time"
            # Nothing was asked for again and again: it was pushed.
            assert [each for each in page.requested if each.endswith("/status")] == []
            assert page.errors == []
        pushed = [path for path in (running.logs).glob("order-*.jsonl") if "WEBSOCKET" in path.read_text()]
        assert len(pushed) == 1
