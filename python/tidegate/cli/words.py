# SPDX-License-Identifier: Apache-2.0
"""Commands that other programs have, and what does the same here."""

from typing import Any

from typer.core import TyperGroup

WORDS = {
    "start": "`tidegate run FILE`",
    "serve": "`tidegate run FILE`",
    "up": "`tidegate run FILE`",
    "stop": "Ctrl-C, or SIGTERM to the process `supervisor` that `tidegate status` shows",
    "quit": "Ctrl-C, or SIGTERM to the process `supervisor` that `tidegate status` shows",
    "validate": "`tidegate check FILE`",
    "test": "`tidegate check FILE`",
    "lint": "`tidegate check FILE`",
    "drain": "`tidegate endpoint drain BACKEND ADDRESS`, or `tidegate zone drain ZONE`",
    "backends": "`tidegate status`",
    "routes": "`tidegate top`, or `tidegate explain GET URL` for one request",
    "stats": "`tidegate top`",
    "logs": "the setting `gateway.access_log` for requests; the rest is on standard error of `tidegate run`",
    "metrics": "`/metrics` where the setting `gateway.admin` says, or `tidegate top --json`",
    "help": "`tidegate --help`",
}
"""What is typed, and what to do instead."""


class Commands(TyperGroup):
    """A group that knows what people from other programs look for."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command of `args`, as click wants it; a word of others ends with what to write instead."""
        if args and args[0] in WORDS and args[0] not in self.commands:
            ctx.fail(f"No such command {args[0]!r}; use {WORDS[args[0]]}.")
        return super().resolve_command(ctx, args)
