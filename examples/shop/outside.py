# SPDX-License-Identifier: Apache-2.0
"""How one service asks another: through the gateway, the only address it knows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

WAIT = 5.0
"""Seconds a service waits for another; a page is better late by five seconds than never there."""

# A proxy named by the environment is for the outside world, not for the gateway next door.
_opener = build_opener(ProxyHandler({}))


class AskError(Exception):
    """The other service did not answer with a JSON object and a status below 400."""


async def ask(gateway: str, path: str, form: Mapping[str, str] | None = None) -> dict[str, Any]:
    """GETs `path`, or POSTs `form` to it.

    Raises:
        AskError: With what happened instead.
    """
    return await asyncio.to_thread(_ask, gateway + path, form)


def _ask(url: str, form: Mapping[str, str] | None) -> dict[str, Any]:
    body = None if form is None else urlencode(form).encode()
    request = Request(url, data=body, headers={"accept": "application/json"})
    try:
        with _opener.open(request, timeout=WAIT) as response:
            read = json.loads(response.read())
    except HTTPError as error:
        error.close()
        raise AskError(f"status {error.code}") from error
    except (OSError, ValueError) as error:
        raise AskError(str(error) or type(error).__name__) from error
    if not isinstance(read, dict):
        raise AskError("not a JSON object")
    return read
