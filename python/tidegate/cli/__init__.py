# SPDX-License-Identifier: Apache-2.0
"""The `tidegate` command.

`commands.py` declares the commands and imports nothing heavy; what a command does is in a module of
its own, imported when it runs.
"""

import os


def main() -> None:
    """Runs the command line and exits with its code."""
    from tidegate.cli.commands import app

    if "_TIDEGATE_COMPLETE" in os.environ:
        # A shell asks what can follow; see `completion`.
        from typer._completion_classes import completion_init

        completion_init()
    app(prog_name="tidegate")


__all__ = ["main"]
