# SPDX-License-Identifier: Apache-2.0
"""`tidegate key` and its options. Nothing heavy is imported before a command runs."""

from typing import Annotated

import typer

from tidegate.cli.options import Json, epilog

app = typer.Typer(
    help="Make keys for the policy `api_key`.",
    epilog=epilog("tidegate key new", "tidegate key hash < key.txt"),
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command(
    epilog=epilog(
        "tidegate key new",
        "tidegate key new --prefix shop",
        "tidegate key new --owner orders-app >> keys.jsonl",
    )
)
def new(
    prefix: Annotated[str, typer.Option(help="What it begins with, as the policy's `prefix`.")] = "tg",
    owner: Annotated[
        str | None, typer.Option(help="Print a line for the policy's `file`, and the key beside it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print a new key, and its hash for the configuration.

    The key is kept nowhere: hand it to its owner.
    """
    from tidegate.cli.key import new

    new(prefix, owner, as_json=as_json)


@app.command("hash", epilog=epilog("tidegate key hash < key.txt"))
def hash_key() -> None:
    """Print the hash of a key that there is, such as one of another gateway.

    Asks for it, or reads one line of what is piped in.
    """
    from tidegate.cli.key import hash_key

    hash_key()
