# SPDX-License-Identifier: Apache-2.0
"""The map of a running demo: what runs where, for people and for programs."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tidegate.demo.running import Running
from tidegate.demo.screen import Screen


def as_values(running: Running) -> dict[str, object]:
    """`{"url", "plain_url", "stock", "authority", "folder", "instances": [{...}], "services": [{...}]}`.

    `stock` is `IP:port`, or None; `authority` is the file of whom clients have to trust.
    """
    instances = [
        {
            "name": instance.name,
            "address": running.address(instance),
            "file": str(running.configs[instance.file].path),
            "pid": running.instances[instance.name].pid,
        }
        for instance in running.topology.instances
    ]
    services = [
        {
            "name": service.name,
            "zone": service.zone,
            "address": running.address(service),
            "pid": running.services[service.name].pid,
        }
        for service in running.topology.services
    ]
    return {
        "url": running.places.entry,
        "plain_url": f"http://localhost:{running.places.plain_port}",
        "stock": running.stock if _has_stock(running) else None,
        "authority": str(running.certificate.authority),
        "folder": str(running.folder),
        "instances": instances,
        "services": services,
    }


def _has_stock(running: Running) -> bool:
    return any(service.kind == "stock" for service in running.topology.services)


def draw(running: Running, screen: Screen) -> None:
    """Prints the map."""
    topology, folder = running.topology, running.folder
    screen.line()
    screen.title(f"  {topology.title}")
    screen.line()
    plain = screen.paint(f"(http://localhost:{running.places.plain_port}/ leads to it)", "quiet")
    screen.line(f"  {'browser':15} {screen.paint(running.places.entry + '/', 'cyan')}  {plain}")
    if _has_stock(running):
        screen.line(f"  {'scanner':15} {running.stock:17} lines over TCP")
    before = ""
    for instance in topology.instances:
        if instance.role != before:
            screen.line("     |")
        before = instance.role
        pid = running.instances[instance.name].pid
        screen.line(f"  {instance.name:15} {running.address(instance):17} {instance.role}, process {pid}")
    if topology.services:
        _draw_services(running, screen)
    else:
        _draw_functions(running, screen)
    screen.line()
    # A browser warns until it is told once, so this goes before everything else.
    screen.line(f"  trust it        {_program()} dev-cert --trust (once: browsers then warn no more)")
    authority = running.certificate.authority
    screen.line(f"  curl it         curl --cacert {authority} {running.places.entry}/")
    if _has_stock(running):
        # Whoever has curl needs no netcat, of which there are several, all different.
        screen.line(f"  scan it         echo lamp | curl -sm 1 telnet://{running.stock}")
    screen.line(f"  change it       {folder}/topologies/{topology.name}/*.yaml (save, and it is live)")
    asked = f"{_program()} status --name {topology.instances[0].name}"
    screen.line(f"  ask it          TIDEGATE_RUNTIME_DIR={folder}/run {asked}")
    screen.line(f"  services' logs  {folder}/logs/*.jsonl")
    screen.line("  end it          Ctrl-C")


def _program() -> str:
    """How to call tidegate from this terminal: a virtual environment need not be active."""
    if shutil.which("tidegate") is not None:
        return "tidegate"
    beside = Path(sys.executable).with_name("tidegate")
    if not beside.exists():
        return f"{sys.executable} -m tidegate"
    return str(beside.relative_to(Path.cwd()) if beside.is_relative_to(Path.cwd()) else beside)


def _draw_services(running: Running, screen: Screen) -> None:
    services = running.topology.services
    screen.line("     |")
    for kind in dict.fromkeys(service.kind for service in services):
        named = kind
        for zone in dict.fromkeys(service.zone for service in services):
            places = [
                f"{service.name} {running.address(service).rpartition(':')[0]}"
                for service in services
                if (service.kind, service.zone) == (kind, zone)
            ]
            screen.line(f"  {named:15} {screen.paint(zone, 'quiet')}  {', '.join(places)}")
            named = ""


def _draw_functions(running: Running, screen: Screen) -> None:
    # Here and not above: reading configurations is slow to import, and the other maps need none.
    from tidegate.config.load import load

    for instance in running.topology.instances:
        functions = load(running.configs[instance.file].path).gateway.functions
        shown = ", ".join(f"{name} ({function.kind})" for name, function in functions.items())
        screen.line("     |")
        screen.line(f"  {'functions':15} {shown}")
