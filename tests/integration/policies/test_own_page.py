# SPDX-License-Identifier: Apache-2.0
"""The page about a policy of one's own, followed to the letter."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.policies.installed import seen
from tidegate.config.check import check_gateway
from tidegate.config.compile import compile_gateway
from tidegate.config.load import loads
from tidegate.config.problem import ConfigError

PAGE = Path(__file__).parents[3] / "docs" / "guides" / "policy-of-your-own.md"
FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
BLOCKS = [(found[2], textwrap.dedent(found[3])) for found in FENCE.finditer(PAGE.read_text())]


def block(language: str, word: str) -> str:
    (found,) = [text for kind, text in BLOCKS if kind == language and word in text]
    return found


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package, installed as its `pyproject.toml` says."""
    folder = tmp_path / "site"
    (folder / "partners").mkdir(parents=True)
    (folder / "partners" / "__init__.py").write_text(block("python", "class Partners"))
    (folder / "partners" / "rules.py").write_text(block("python", "async def check"))
    project = tomllib.loads(block("toml", "[project]"))["project"]
    about = folder / f"{project['name']}-{project['version']}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines = [f"{name} = {value}" for name, value in project["entry-points"]["tidegate.policies"].items()]
    (about / "entry_points.txt").write_text("[tidegate.policies]\n" + "\n".join(lines) + "\n")
    for name in ("GOLD_KEY", "SILVER_KEY"):
        monkeypatch.setenv(name, f"the value of {name}")
    with seen(folder):
        yield folder


@pytest.mark.usefixtures("site")
def test_both_forms_are_the_same_snapshot() -> None:
    names: dict[str, Any] = {"__name__": "shop"}
    exec(compile(block("python", "gateway = Gateway("), str(PAGE), "exec"), names)
    text = block("yaml", "listeners:")
    check_gateway(names["gateway"])
    one, other = (compile_gateway(each, threads=1) for each in (names["gateway"], loads(text).gateway))
    assert one.resources == other.resources
    own = text + block("yaml", "functions:")
    functions = [key for key in compile_gateway(loads(own).gateway).resources if key[0] == "function"]
    assert functions == [("function", "partners")]
    with pytest.raises(ConfigError, match=r"policies\[0\]\.teir: no such setting; did you mean `tier`"):
        loads(text.replace("tier: gold", "tier: gold, teir: 1"))


def test_its_test_is_green(site: Path, tmp_path: Path) -> None:
    (tmp_path / "test_partners.py").write_text(block("python", "def test_who"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_partners.py"]
    run = subprocess.run(
        command, cwd=tmp_path, env=os.environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert "1 passed" in run.stdout, run.stdout + run.stderr
