# SPDX-License-Identifier: Apache-2.0
"""A package with a policy of its own, installed in a folder of the test's as pip installs one."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tidegate.config import rooms

MODEL = """
    '''Partners and what they may.'''

    from typing import Annotated, Literal

    from pydantic import Field

    from tidegate import CustomPolicy, Function, Secret
    from tidegate.config.types import ByteSize, Duration


    class Partners(CustomPolicy):
        '''Tells endpoints the tier of a partner.'''

        type: Literal["partners"] = "partners"
        tier: Literal["gold", "silver"]
        '''What they pay for.'''
        share: Annotated[float, Field(ge=0, le=1)] = 0.5
        '''How much of it.'''
        key: Secret | None = None
        '''What the client must show.'''
        wait: Duration = Duration("5s")
        '''How long they wait.'''
        body: ByteSize | None = None
        '''How much of a body is read.'''

        function = Function(handler="partners.rules:check", kind="policy", deadline="3s")
"""
RULES = """
    import os

    from partners import Partners
    from tidegate import CallNext, Request, Response, policy

    made = []


    @policy
    async def check(request: Request, call_next: CallNext, settings: Partners) -> Response:
        if all(settings is not each for each in made):
            made.append(settings)
        if settings.key is not None and request.headers.get("x-key") != settings.key.reveal():
            return Response.problem(403, "no key")
        if settings.body is not None:
            request.headers["x-size"] = str(len(await request.body()))
        request.headers["x-tier"] = settings.tier
        response = await call_next(request)
        response.headers["x-told"] = f"{settings.tier} {settings.share} {settings.wait}"
        response.headers["x-process"] = f"{os.getpid()} {len(made)}"
        return response
"""


def install(
    site: Path, *, model: str = MODEL, value: str = "partners:Partners", name: str = "partners"
) -> None:
    """Writes the package and what pip writes beside it."""
    package = site / "partners"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text(textwrap.dedent(model))
    (package / "rules.py").write_text(textwrap.dedent(RULES))
    about = site / "partners-1.0.dist-info"
    about.mkdir(exist_ok=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: partners\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[tidegate.policies]\n{name} = {value}\n")


@contextmanager
def seen(site: Path) -> Iterator[None]:
    """Makes a folder part of where packages are, for this process and those it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        paths = [str(site), os.environ.get("PYTHONPATH", "")]
        patch.setenv("PYTHONPATH", os.pathsep.join(path for path in paths if path))
        if os.geteuid() == 0:
            # The interpreter and the test's folder may be closed to others.
            patch.setenv("TIDEGATE_USER", "root")
        forget()
        yield
    forget()


def forget() -> None:
    """What is installed is looked up anew; modules of the package are imported anew."""
    import sys

    for each in (rooms.tags, rooms._foreign, rooms.room):
        each.cache_clear()
    for module in [name for name in sys.modules if name.partition(".")[0] == "partners"]:
        del sys.modules[module]
