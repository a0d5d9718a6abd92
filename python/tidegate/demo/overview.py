# SPDX-License-Identifier: Apache-2.0
"""The map of a running demo: what runs where, for people and for programs."""

from __future__ import annotations

from tidegate.demo.running import Running
from tidegate.demo.screen import Screen


def as_values(running: Running) -> dict[str, object]:
    """`{"url", "folder", "instances": [{...}], "services": [{...}]}`."""
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
    folder = str(running.folder)
    return {"url": running.places.entry, "folder": folder, "instances": instances, "services": services}


def draw(running: Running, screen: Screen) -> None:
    """Prints the map."""
    screen.line()
    screen.title(running.topology.title)
    screen.line()
    screen.line(f"  browser   {screen.paint(running.places.entry + '/', 'cyan')}")
    for instance in running.topology.instances:
        pid = running.instances[instance.name].pid
        screen.line(
            f"     |      {instance.name:14} {running.address(instance):18} {instance.role}, process {pid}"
        )
    kinds = dict.fromkeys(service.kind for service in running.topology.services)
    for kind in kinds:
        places = []
        for service in running.topology.services:
            if service.kind == kind:
                address = running.address(service).rpartition(":")[0]
                places.append(f"{service.name} {address} {screen.paint(service.zone, 'quiet')}")
        screen.line(f"     |      {'   '.join(places)}")
    screen.line()
    folder = running.folder
    screen.line(
        f"  change    {folder}/topologies/{running.topology.name}/*.yaml, then look: no restart needed"
    )
    screen.line(f"  logs      {folder}/logs/*.jsonl, what each service saw")
    screen.line(f"  status    TIDEGATE_RUNTIME_DIR={folder}/run tidegate status")
    screen.line("  stop      Ctrl-C")
