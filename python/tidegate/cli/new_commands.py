# SPDX-License-Identifier: Apache-2.0
"""`tidegate new` and its options. Nothing heavy is imported before a command runs."""

from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli.options import epilog

app = typer.Typer(
    help="Write code to start from, with a test that is green.",
    epilog=epilog("tidegate new policy partners_only"),
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def _group() -> None:
    """Keeps the command's name, of which there is one."""


@app.command(epilog=epilog("tidegate new policy partners_only", "tidegate new policy keys --folder rules"))
def policy(
    name: Annotated[str, typer.Argument(help="A name in Python, such as `partners_only`.")],
    folder: Annotated[Path, typer.Option("--folder", "-f", help="Where to write it.")] = Path("."),
) -> None:
    """Write a policy in Python, and a test of it.

    No file is overwritten.
    """
    from tidegate.cli.new import policy

    policy(name, folder)
