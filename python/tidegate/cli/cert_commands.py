# SPDX-License-Identifier: Apache-2.0
"""`tidegate cert` and its options. Nothing heavy is imported before a command runs."""

from typing import Annotated

import typer

from tidegate.cli.options import Json, Name, Runtime, epilog

app = typer.Typer(
    help="Show certificates, and have them renewed.",
    epilog=epilog(
        "tidegate cert list", "tidegate cert show shop.example", "tidegate cert renew shop.example"
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list", epilog=epilog("tidegate cert list", "tidegate cert list --name edge --json"))
def show_all(name: Name = None, runtime_directory: Runtime = None, as_json: Json = False) -> None:
    """List every certificate: names, source, expiry, next renewal, what failed."""
    from tidegate.cli.cert import show_all

    show_all(name, runtime_directory, as_json=as_json)


@app.command(epilog=epilog("tidegate cert show shop.example", "tidegate cert show shop.example --json"))
def show(
    host: Annotated[str, typer.Argument(help="A host name that it is for.")],
    name: Name = None,
    runtime_directory: Runtime = None,
    as_json: Json = False,
) -> None:
    """Show all there is to know of the certificates for a host."""
    from tidegate.cli.cert import show

    show(host, name, runtime_directory, as_json=as_json)


@app.command(epilog=epilog("tidegate cert renew shop.example", "tidegate cert renew --force"))
def renew(
    host: Annotated[str | None, typer.Argument(help="A host name; all without one.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Also those that are not due yet.")] = False,
    name: Name = None,
    runtime_directory: Runtime = None,
    as_json: Json = False,
) -> None:
    """Order what is due or missing now, whatever failed before.

    Only those that come from an authority (`tls: auto`). Authorities limit how many they sign in a week.
    """
    from tidegate.cli.cert import renew

    renew(host, name, runtime_directory, force=force, as_json=as_json)
