# SPDX-License-Identifier: Apache-2.0
"""`tidegate zone` and its options. Nothing heavy is imported before a command runs."""

from typing import Annotated

import typer

from tidegate.cli.options import Json, Name, Runtime, epilog

app = typer.Typer(
    help="Take a zone out of traffic, and in again.",
    epilog=epilog("tidegate zone drain az-1", "tidegate zone undrain az-1"),
    no_args_is_help=True,
    rich_markup_mode=None,
)

Zone = Annotated[str, typer.Argument(help="As the endpoints' `zone` says.")]


@app.command(epilog=epilog("tidegate zone drain az-1 --name edge"))
def drain(zone: Zone, name: Name = None, runtime_directory: Runtime = None, as_json: Json = False) -> None:
    """Send no new requests to a zone's endpoints.

    What is under way ends there. It holds until `undrain`, whatever is reloaded or restarted.
    """
    from tidegate.cli.zone import set_drained

    set_drained(zone, name, runtime_directory, drained=True, as_json=as_json)


@app.command(epilog=epilog("tidegate zone undrain az-1 --name edge"))
def undrain(zone: Zone, name: Name = None, runtime_directory: Runtime = None, as_json: Json = False) -> None:
    """Send requests to a drained zone's endpoints again."""
    from tidegate.cli.zone import set_drained

    set_drained(zone, name, runtime_directory, drained=False, as_json=as_json)
