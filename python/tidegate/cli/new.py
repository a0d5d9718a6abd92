# SPDX-License-Identifier: Apache-2.0
"""`tidegate new`: code to start from, with a test that is green."""

import keyword
from pathlib import Path

from tidegate.cli.codes import USAGE, stop
from tidegate.cli.init import read, write


def policy(name: str, folder: Path) -> None:
    """Writes a policy and its test; nothing is overwritten."""
    if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
        stop(f"{name!r} is no name in Python; write letters, digits and `_`, such as `partners_only`", USAGE)
    files = {
        folder / f"{name}.py": read("policy.py").replace("policy_name", name),
        folder / f"test_{name}.py": read("policy_case.py").replace("policy_name", name),
    }
    write(files, "choose another name, or another folder with --folder")
    print(f"next: pytest {folder / f'test_{name}.py'}")
