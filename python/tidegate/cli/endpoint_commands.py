# SPDX-License-Identifier: Apache-2.0
"""`tidegate endpoint ...`: the commands and their options."""

from typing import Annotated

import typer

from tidegate.cli.options import Json, Name, Runtime, epilog

app = typer.Typer(
    help="List, add, drain and remove endpoints of a running instance.",
    epilog=epilog(
        "tidegate endpoint list",
        "tidegate endpoint add shop 10.0.1.12:8080",
        "tidegate endpoint drain shop 10.0.1.12:8080 --wait",
        "tidegate endpoint remove shop 10.0.1.12:8080",
    ),
    no_args_is_help=True,
)

Backend = Annotated[str, typer.Argument(help="As the configuration calls it.")]
Address = Annotated[str, typer.Argument(help="IP:port, [IPv6]:port, name:port or unix:/path.")]
Force = Annotated[bool, typer.Option("--force", help="Even the last one that takes requests.")]
Wait = Annotated[bool, typer.Option("--wait", help="Until no request is in flight there.")]
Timeout = Annotated[float, typer.Option(min=0, help="Seconds that --wait takes at most.")]


@app.command("list", epilog=epilog("tidegate endpoint list", "tidegate endpoint list shop --json"))
def list_(
    backend: Annotated[str | None, typer.Argument(help="One backend alone.")] = None,
    name: Name = None,
    runtime_directory: Runtime = None,
    as_json: Json = False,
) -> None:
    """Show each endpoint, who named it, whether it drains, and what is in flight."""
    from tidegate.cli.endpoint import list_endpoints

    list_endpoints(backend, name, runtime_directory, as_json=as_json)


@app.command(epilog=epilog("tidegate endpoint add shop 10.0.1.12:8080 --weight 2 --zone az-1"))
def add(
    backend: Backend,
    address: Address,
    weight: Annotated[int | None, typer.Option(help="Its share relative to its neighbours; 1.")] = None,
    zone: Annotated[str | None, typer.Option(help="Where it stands.")] = None,
    priority: Annotated[int | None, typer.Option(help="0 is wanted first.")] = None,
    name: Name = None,
    runtime_directory: Runtime = None,
    as_json: Json = False,
) -> None:
    """Add an endpoint at once, or change one; kept over reloads and restarts until it is removed."""
    from tidegate.cli.endpoint import change

    settings = {"weight": weight, "zone": zone, "priority": priority}
    change(backend, address, "add", name, runtime_directory, settings=settings, as_json=as_json)


@app.command(epilog=epilog("tidegate endpoint drain shop 10.0.1.10:8080 --wait"))
def drain(
    backend: Backend,
    address: Address,
    wait: Wait = False,
    timeout: Timeout = 300.0,
    force: Force = False,
    name: Name = None,
    runtime_directory: Runtime = None,
    as_json: Json = False,
) -> None:
    """Give an endpoint no new requests; what is under way finishes."""
    from tidegate.cli.endpoint import change

    limit = timeout if wait else None
    change(backend, address, "drain", name, runtime_directory, force=force, wait=limit, as_json=as_json)


@app.command(
    epilog=epilog(
        "tidegate endpoint register shop 10.0.1.12:8080 --lease 10s -- python -m shop",
        "tidegate endpoint register shop unix:/run/shop.sock",
    ),
    context_settings={"ignore_unknown_options": True},
)
def register(
    backend: Backend,
    address: Address,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[-- COMMAND...]", help="What serves there.")
    ] = None,
    lease: Annotated[str, typer.Option(help="How long it may stay unheard of, from 1s.")] = "10s",
    weight: Annotated[int | None, typer.Option(help="Its share relative to its neighbours; 1.")] = None,
    zone: Annotated[str | None, typer.Option(help="Where it stands.")] = None,
    name: Name = None,
    runtime_directory: Runtime = None,
) -> None:
    """Keep an endpoint registered while a command, or this one, runs.

    It is taken out when that ends, and a lease after it was killed.
    """
    from tidegate.cli.register import register

    settings = {"address": address, "weight": weight, "zone": zone}
    raise SystemExit(register(backend, settings, lease, command or [], name, runtime_directory))


@app.command(epilog=epilog("tidegate endpoint undrain shop 10.0.1.10:8080"))
def undrain(
    backend: Backend,
    address: Address,
    name: Name = None,
    runtime_directory: Runtime = None,
    as_json: Json = False,
) -> None:
    """Give an endpoint that drains new requests again."""
    from tidegate.cli.endpoint import change

    change(backend, address, "undrain", name, runtime_directory, as_json=as_json)


@app.command(epilog=epilog("tidegate endpoint remove shop 10.0.1.10:8080 --wait"))
def remove(
    backend: Backend,
    address: Address,
    wait: Annotated[bool, typer.Option("--wait", help="Drain it first, until nothing is in flight.")] = False,
    timeout: Timeout = 300.0,
    force: Force = False,
    name: Name = None,
    runtime_directory: Runtime = None,
    as_json: Json = False,
) -> None:
    """Take an endpoint out, whoever named it, until `endpoint add` takes it in again."""
    from tidegate.cli.endpoint import change

    limit = timeout if wait else None
    change(backend, address, "remove", name, runtime_directory, force=force, wait=limit, as_json=as_json)
