# SPDX-License-Identifier: Apache-2.0
"""`tidegate completion`."""

from tidegate.cli.codes import USAGE, stop

SHELLS = ("bash", "zsh", "fish")


def completion(shell: str) -> None:
    """Prints the script that makes `shell` complete commands and options."""
    if shell not in SHELLS:
        stop(f"{shell!r} is not one of {', '.join(SHELLS)}", USAGE)
    from typer._completion_shared import get_completion_script

    print(get_completion_script(prog_name="tidegate", complete_var="_TIDEGATE_COMPLETE", shell=shell))
