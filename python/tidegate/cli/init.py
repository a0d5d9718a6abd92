# SPDX-License-Identifier: Apache-2.0
"""`tidegate init`: files to start from."""

from importlib import resources
from pathlib import Path

from tidegate.cli.codes import USAGE, stop

TEMPLATES = ("reverse-proxy", "load-balancer", "gateway", "serverless")
_CODE = {"serverless": "hello.py"}
"""A template's second file, which its functions are in."""


def init(template: str, output: Path) -> None:
    """Writes a template's files; nothing is overwritten."""
    if template not in TEMPLATES:
        stop(f"{template!r} is not one of {', '.join(TEMPLATES)}", USAGE)
    text = read(f"{template}.yaml")
    if str(output) == "-":
        print(text, end="")
        return
    files = {output: text}
    if template in _CODE:
        files[output.parent / _CODE[template]] = read(_CODE[template])
    write(files, "choose another place with --output")
    print(f"next: tidegate check {output} && tidegate run {output} --watch")


def write(files: dict[Path, str], instead: str) -> None:
    """Writes new files, or none; `instead` says what to do about one that is there."""
    for path in files:
        if path.exists():
            stop(f"{path} exists already; {instead}")
    for path, content in files.items():
        try:
            path.write_text(content)
        except OSError as error:
            stop(f"cannot write {path}: {error.strerror}")
        print(f"wrote {path}")


def read(name: str) -> str:
    """A file of the templates."""
    return resources.files("tidegate.cli").joinpath("templates", name).read_text()
