# SPDX-License-Identifier: Apache-2.0
"""`examples/apps` as its README says, on another port."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tidegate.testing import gateway
from tidegate.testing.gateways import wait_until

APPS = Path(__file__).resolve().parents[3] / "examples" / "apps"
SERVED = ("app1", "app2", "app3")


@dataclass
class Site:
    """The gateway's URL, the applications' own ports, and every answer that was seen."""

    url: str
    ports: list[str]
    seen: list[requests.Response]

    def visitor(self) -> requests.Session:
        session = requests.Session()
        session.hooks["response"].append(lambda response, **_: self.seen.append(response))
        return session


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("apps")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE", str(folder / "db.sqlite3"))
        patch.setenv("DJANGO_SUPERUSER_PASSWORD", "secret")
        patch.setenv("PYTHONDONTWRITEBYTECODE", "1")
        manage = [sys.executable, "django_app/manage.py"]
        account = ["createsuperuser", "--noinput", "--username", "ada", "--email", "a@b.test"]
        for step in (["migrate"], account):
            subprocess.run([*manage, *step], cwd=APPS, check=True, capture_output=True)
        with gateway(APPS / "tidegate.yaml", threads=1, processes=True) as running:
            url = f"http://127.0.0.1:{running.port}"

            def serve() -> bool:
                return all(requests.get(f"{url}/{name}/", timeout=60).status_code != 503 for name in SERVED)

            assert wait_until(serve, 120), running.status()
            backends = running.status()["backends"]
            addresses = [each["address"] for backend in backends for each in backend["endpoints"]]
            assert len(addresses) == len(SERVED)
            yield Site(url, [address.rpartition(":")[2] for address in addresses], [])
