# SPDX-License-Identifier: Apache-2.0
"""Examples in the documentation: each is given in YAML and in Python, and both are the same snapshot."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

import tidegate
from tidegate.config.base import Model
from tidegate.config.compile import compile_gateway
from tidegate.config.gateway import Gateway
from tidegate.config.load import loads
from tidegate.config.snapshot import Snapshot

ROOT = Path(__file__).resolve().parent.parent
# Its examples need a package that the page makes; a test of its own follows it.
FOLLOWED = ROOT / "docs" / "guides" / "policy-of-your-own.md"
PAGES = sorted([*ROOT.glob("docs/guides/*.md"), *ROOT.glob("docs/concepts/*.md"), ROOT / "README.md"])
PAGES.remove(FOLLOWED)
FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
OUTSIDE = re.compile(r"\$\{env:([A-Z][A-Z_]+)\}")
CERTIFICATE = re.compile(r"\b[a-z-]+\.(?:pem|key)\b")
WHOLE = ("listeners:", "gateway = Gateway(")


def blocks(page: Path, language: str) -> list[str]:
    """Whole configurations on a page; parts of one are for the reader only."""
    found = [(match[2], textwrap.dedent(match[3])) for match in FENCE.finditer(page.read_text())]
    return [text for kind, text in found if kind == language and any(word in text for word in WHOLE)]


def snapshot_of(gateway: Gateway) -> Snapshot:
    return compile_gateway(gateway, threads=1, runtime_directory="/run/tidegate/docs")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_both_forms_of_an_example_are_the_same_snapshot(
    page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    for name in OUTSIDE.findall(page.read_text()):
        monkeypatch.setenv(name, f"the value of {name}")
    if certificates := CERTIFICATE.findall(page.read_text()):
        monkeypatch.chdir(tmp_path)
        for name in certificates:
            (tmp_path / name).write_text(name)
    yaml, python = blocks(page, "yaml"), blocks(page, "python")
    if page.name == "README.md":
        # One form is enough on the first screen; it is compared with the guide that has both.
        guide = ROOT / "docs" / "guides" / "first-gateway.md"
        python = blocks(guide, "python")[: len(yaml)]
    assert len(yaml) == len(python), "each example wants a YAML and a Python form"
    for text, code in zip(yaml, python, strict=True):
        names: dict[str, Any] = {}
        exec(compile(code, str(page), "exec"), names)
        from_yaml = snapshot_of(loads(text, name=page.name).gateway)
        from_python = snapshot_of(names["gateway"])
        assert from_yaml.changed(from_python) == []
        assert from_yaml.endpoints == from_python.endpoints


PEERS = ROOT / "docs" / "guides" / "from-other-proxies.md"
ROWS = [
    (place, text)
    for line in PEERS.read_text().splitlines()
    if line.startswith("| ")
    for place, text in re.findall(r"`(listener|backend|route|gateway|policies): ({.*?})`(?= \||,)", line)
]


@pytest.mark.parametrize(("place", "text"), ROWS, ids=lambda value: value)
def test_what_stands_for_a_directive_of_another_proxy_is_accepted(place: str, text: str):
    part = yaml.safe_load(text)
    whole: dict[str, Any] = {
        "listeners": {"web": {"port": 8080}, "other": {"port": 8081}},
        "backends": {"app": {"endpoints": ["127.0.0.1:1"]}, "next": ["127.0.0.1:2"]},
        "routes": [{"path": "/", "to": "app"}],
    }
    match place:
        case "listener":
            whole["listeners"]["web"] |= part
        case "backend":
            whole["backends"]["app"] |= part
        case "route":
            whole["routes"][0] |= part
        case _:
            whole[place] = part
    snapshot_of(loads(yaml.safe_dump(whole), name="row.yaml").gateway)


def test_the_table_of_other_proxies_has_rows():
    assert len(ROWS) > 80


def test_the_reference_has_a_table_for_each_model():
    told = "".join(page.read_text() for page in ROOT.glob("docs/reference/*.md"))
    short = {
        # What others derive from; the guide tells how.
        "CustomPolicy",
        "FieldMatch",
        "Forward",
        "Gateway",
        "HashPart",
        "PathMatch",
    }  # their forms are in the table around
    for name in tidegate.__all__:
        found = getattr(tidegate, name)
        if isinstance(found, type) and issubclass(found, Model) and name not in short:
            assert f"\n## {name}\n" in told, name


def test_there_are_examples():
    assert sum(len(blocks(page, "yaml")) for page in PAGES) >= 4
