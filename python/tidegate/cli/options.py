# SPDX-License-Identifier: Apache-2.0
"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

Name = Annotated[str | None, typer.Option("--name", "-n", help="The instance; a unique beginning is enough.")]
Runtime = Annotated[
    Path | None,
    typer.Option(
        "--runtime-directory", envvar="TIDEGATE_RUNTIME_DIR", help="Where instances keep their sockets."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def epilog(*examples: str) -> str:
    """Examples, as `--help` ends with them."""
    return "\b\nExamples:\n" + "\n".join(f"  {example}" for example in examples)
