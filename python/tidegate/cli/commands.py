# SPDX-License-Identifier: Apache-2.0
"""The commands and their options. Nothing heavy is imported before a command runs."""

import os
from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli.cert_commands import app as cert_app
from tidegate.cli.codes import TEXT
from tidegate.cli.endpoint_commands import app as endpoint_app
from tidegate.cli.key_commands import app as key_app
from tidegate.cli.new_commands import app as new_app
from tidegate.cli.options import Json, Name, Runtime, epilog
from tidegate.cli.words import Commands
from tidegate.cli.zone_commands import app as zone_app
from tidegate.events import FORMS, Form

app = typer.Typer(
    name="tidegate",
    cls=Commands,
    help="Load balancer, reverse proxy and API gateway in one program.",
    epilog=TEXT,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Sources = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FILE", help="YAML files or folders, or one module:object; tidegate.yaml without any."
    ),
]
ORDINARY = ["tidegate.yaml"]
"""What is read where no file is named."""
NewName = Annotated[
    str | None,
    typer.Option("--name", "-n", help="The instance's name; made from the file's path without it."),
]
Threads = Annotated[
    int | None, typer.Option(min=1, max=1024, help="Threads of the node, whatever the file says.")
]
User = Annotated[
    str | None, typer.Option(envvar="TIDEGATE_USER", help="Started as root: the user to run as.")
]
LogFormat = Annotated[
    str, typer.Option(envvar="TIDEGATE_LOG_FORMAT", help="human, json, or auto: human on a terminal.")
]
Header = Annotated[
    list[str] | None, typer.Option("--header", "-H", help="A field as 'Name: value'; repeatable.")
]


def _form(text: str) -> Form:
    """The form by its name; the node, which writes lines of its own, inherits it."""
    for form in FORMS:
        if text == form:
            os.environ["TIDEGATE_LOG_FORMAT"] = form
            return form
    raise typer.BadParameter(f"{text!r} is not one of auto, human, json", param_hint="--log-format")


def _version(wanted: bool) -> None:
    if wanted:
        from tidegate.cli.check import version

        version(as_json=False)
        raise typer.Exit


@app.callback()
def _tidegate(
    show_version: Annotated[
        bool, typer.Option("--version", "-V", help="Print the version.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    # The group's own options; its help is above.
    pass


@app.command(
    epilog=epilog(
        "tidegate run tidegate.yaml",
        "tidegate run tidegate.yaml --watch --threads 2",
        "tidegate run shop:gateway",
        "tidegate run conf.d/ --name edge",
    )
)
def run(
    sources: Sources = None,
    name: NewName = None,
    watch: Annotated[bool, typer.Option("--watch", help="Apply changes of the files by themselves.")] = False,
    threads: Threads = None,
    runtime_directory: Runtime = None,
    user: User = None,
    log_format: LogFormat = "auto",
) -> None:
    """Run a gateway until SIGTERM or Ctrl-C.

    SIGHUP reloads the configuration, SIGUSR1 reopens the log files.
    """
    from tidegate import supervisor

    options = supervisor.Options(
        sources or ORDINARY, name, watch, threads, runtime_directory, user or None, _form(log_format)
    )
    raise SystemExit(supervisor.run(options))


@app.command(epilog=epilog("tidegate check tidegate.yaml", "tidegate check shop:gateway --json"))
def check(sources: Sources = None, as_json: Json = False) -> None:
    """Check a configuration.

    Every mistake is printed at once, with its file, line and column.
    """
    from tidegate.cli.check import check

    check(sources or ORDINARY, as_json=as_json)


@app.command(
    epilog=epilog(
        "tidegate explain GET http://localhost:8080/app1/users",
        "tidegate explain POST /payments -H 'Host: api.myapp.com' --file tidegate.yaml",
        "tidegate explain GET /home --live --json",
    )
)
def explain(
    method: Annotated[
        str, typer.Argument(help="GET, POST, ...; or tcp://HOST:PORT, tls://, udp:// or quic:// alone.")
    ],
    url: Annotated[str | None, typer.Argument(help="A URL, or a path with its query.")] = None,
    header: Header = None,
    file: Annotated[
        list[str] | None, typer.Option("--file", "-f", help="Decide by this file or module:object, offline.")
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Ask the running node, with its health and load.")
    ] = False,
    name: Name = None,
    client: Annotated[str | None, typer.Option(help="The client's IP address; 127.0.0.1 without it.")] = None,
    listener: Annotated[
        str | None, typer.Option(help="The listener it comes in by, if there are several.")
    ] = None,
    local_address: Annotated[
        str | None,
        typer.Option(help="The IP address it was sent to; the listener's without it, or 127.0.0.1."),
    ] = None,
    begins: Annotated[
        str | None,
        typer.Option(
            help="With tcp://, what the client says first (`SSH-2.0`, `hex:0300`); nothing without it."
        ),
    ] = None,
    runtime_directory: Runtime = None,
    as_json: Json = False,
) -> None:
    """Show what would happen to a request, or to a connection without requests.

    Listener, route, policies, backend, endpoint and the request as an endpoint would get it.
    """
    from tidegate.cli.explain import Question, explain

    if url is None and method.startswith(("tcp://", "tls://", "udp://", "quic://")):
        method, url = "", method
    if url is None:
        example = method if "/" in method else "http://localhost:8080/"
        raise typer.BadParameter(f"write a method and a URL, as in `tidegate explain GET {example}`")
    question = Question(method, url, tuple(header or ()), client, listener, local_address, begins)
    explain(question, files=file, live=live, name=name, base=runtime_directory, as_json=as_json)


@app.command(epilog=epilog("tidegate why 4bf92f3577b34da6a3ce929d0e0e4736"))
def why(
    request_id: Annotated[str, typer.Argument(help="From the log, or X-Request-Id.")],
    name: Name = None,
    runtime_directory: Runtime = None,
    as_json: Json = False,
) -> None:
    """Show what happened to a recent request, and why."""
    from tidegate.cli.explain import why

    why(request_id, name=name, base=runtime_directory, as_json=as_json)


@app.command(
    epilog=epilog(
        "tidegate proxy /app1=http://localhost:8081 /app2=http://localhost:8082 --listen :8080",
        "tidegate proxy http://localhost:3000",
    )
)
def proxy(
    routes: Annotated[
        list[str], typer.Argument(metavar="[PATH=]URL...", help="What goes where; / without a path.")
    ],
    listen: Annotated[str, typer.Option(help="ADDRESS:PORT, :PORT or unix:/path.")] = ":8080",
    strip: Annotated[bool, typer.Option("--strip", help="Take the path off before forwarding.")] = False,
    name: NewName = None,
    threads: Threads = None,
    runtime_directory: Runtime = None,
    user: User = None,
    log_format: LogFormat = "auto",
) -> None:
    """Run a reverse proxy without a file.

    The file that it writes for itself is watched: edit it, and the change is served.
    """
    from tidegate.cli.proxy import proxy

    proxy(
        routes,
        listen=listen,
        strip=strip,
        name=name,
        threads=threads,
        base=runtime_directory,
        user=user or None,
        log_format=_form(log_format),
    )


@app.command("hash-password", epilog=epilog("tidegate hash-password < password.txt"))
def hash_password() -> None:
    """Print what is written in the place of a user's password.

    Asks for it, or reads one line of what is piped in.
    """
    from tidegate.cli.hash_password import hash_password

    hash_password()


@app.command(
    "dev-cert",
    epilog=epilog(
        "tidegate dev-cert --trust",
        "tidegate dev-cert shop.test api.shop.test",
        "tidegate dev-cert --untrust",
    ),
)
def dev_cert(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME...]", help="Hosts beside localhost: under .localhost, .test, .internal."
        ),
    ] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Have the system and its browsers trust the authority.")
    ] = False,
    untrust: Annotated[bool, typer.Option("--untrust", help="Have them no longer trust it.")] = False,
    directory: Annotated[
        Path | None,
        typer.Option(
            envvar="TIDEGATE_DEV_CERT_DIR", help="Where it is kept; your data directory without it."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a certificate for localhost, for development.

    Signed by an authority of your own, which can sign nothing on the internet. `tls: dev` on a listener uses
    it. It is made anew before it expires.
    """
    from tidegate.cli.dev_cert import dev_cert

    if trust and untrust:
        raise typer.BadParameter("write --trust or --untrust")
    dev_cert(names or [], directory, trusts=trust, untrusts=untrust, as_json=as_json)


@app.command(epilog=epilog("tidegate reload", "tidegate reload --name edge"))
def reload(name: Name = None, runtime_directory: Runtime = None, as_json: Json = False) -> None:
    """Apply the changed configuration of an instance.

    One with mistakes is refused, and the old one stays.
    """
    from tidegate.cli.live import reload

    reload(name, runtime_directory, as_json=as_json)


@app.command(
    epilog=epilog(
        "pip install --upgrade tidegate && tidegate upgrade",
        "tidegate upgrade --name edge --drain-time 10m",
        "pip install tidegate==0.1.0 && tidegate upgrade --json",
    )
)
def upgrade(
    name: Name = None,
    drain_time: Annotated[
        str | None,
        typer.Option(
            "--drain-time", help="How long what is under way may take, such as 10m; graceful_stop without it."
        ),
    ] = None,
    runtime_directory: Runtime = None,
    as_json: Json = False,
) -> None:
    """Replace an instance by the version installed now.

    Newer or older; no request is lost.
    """
    from tidegate.cli.upgrade import upgrade

    upgrade(name, runtime_directory, drain_time=drain_time, as_json=as_json)


@app.command(epilog=epilog("tidegate restart app", "tidegate restart app --name edge --json"))
def restart(
    backend: Annotated[str, typer.Argument(help="A backend that has `processes`.")],
    name: Name = None,
    runtime_directory: Runtime = None,
    as_json: Json = False,
) -> None:
    """Replace the processes of a backend, one by one.

    Each new one has to be healthy before an old one goes; no request is lost.
    """
    from tidegate.cli.processes import restart_in

    restart_in(backend, name, runtime_directory, as_json=as_json)


@app.command(epilog=epilog("tidegate status", "tidegate status --name edge --json"))
def status(name: Name = None, runtime_directory: Runtime = None, as_json: Json = False) -> None:
    """Show what an instance runs, and how it is.

    Its processes, listeners, backends and endpoints.
    """
    from tidegate.cli.live import status

    status(name, runtime_directory, as_json=as_json)


app.add_typer(cert_app, name="cert")
app.add_typer(endpoint_app, name="endpoint")
app.add_typer(key_app, name="key")
app.add_typer(new_app, name="new")
app.add_typer(zone_app, name="zone")


@app.command(
    epilog=epilog(
        "tidegate top",
        "tidegate top --once --json",
        "tidegate top --record top.jsonl",
        "tidegate top --replay top.jsonl",
    )
)
def top(
    name: Name = None,
    once: Annotated[bool, typer.Option("--once", help="One frame, and no more.")] = False,
    record: Annotated[
        Path | None, typer.Option(help="Append every frame to this file, as a line of JSON.")
    ] = None,
    replay: Annotated[Path | None, typer.Option(help="Show what was recorded in this file.")] = None,
    runtime_directory: Runtime = None,
    as_json: Json = False,
) -> None:
    """Watch requests, errors, times and health, once a second.

    Keys: q quits, s sorts otherwise, p holds the picture. Where it does not go to a terminal it is one frame.
    """
    from tidegate.cli.top import Options, top

    top(name, runtime_directory, Options(once, as_json, record, replay))


@app.command(epilog=epilog("tidegate slow", "tidegate slow --name edge --json"))
def slow(name: Name = None, runtime_directory: Runtime = None, as_json: Json = False) -> None:
    """Show the last slow requests, and where their time went.

    The setting gateway.slow_request says from how long on.
    """
    from tidegate.cli.slow import slow

    slow(name, runtime_directory, as_json=as_json)


@app.command(epilog=epilog("tidegate schema > tidegate.schema.json"))
def schema() -> None:
    """Print the JSON Schema of the configuration.

    Editors complete and check by it.
    """
    from tidegate.cli.check import schema

    schema()


@app.command(epilog=epilog("tidegate init reverse-proxy", "tidegate init gateway --output shop.yaml"))
def init(
    template: Annotated[str, typer.Argument(help="reverse-proxy, load-balancer, gateway or serverless.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write it; - prints it.")] = Path(
        "tidegate.yaml"
    ),
) -> None:
    """Write a commented file to start from.

    No file is overwritten.
    """
    from tidegate.cli.init import init

    init(template, output)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    epilog=epilog("tidegate demo", "tidegate demo --tour"),
)
def demo(context: typer.Context) -> None:
    """Run a small shop behind a chain of gateways.

    `tidegate demo --help` says more.
    """
    from tidegate.demo import main

    raise SystemExit(main(context.args))


@app.command(epilog=epilog("tidegate version", "tidegate version --json"))
def version(as_json: Json = False) -> None:
    """Print the version."""
    from tidegate.cli.check import version

    version(as_json=as_json)


@app.command(
    epilog=epilog(
        "source <(tidegate completion bash)     # in ~/.bashrc for every shell",
        "source <(tidegate completion zsh)      # in ~/.zshrc, behind compinit",
        "tidegate completion fish | source      # in ~/.config/fish/config.fish",
    )
)
def completion(shell: Annotated[str, typer.Argument(help="bash, zsh or fish.")]) -> None:
    """Print a completion script for a shell."""
    from tidegate.cli.completion import completion

    completion(shell)
