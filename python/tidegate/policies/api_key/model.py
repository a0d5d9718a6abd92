# SPDX-License-Identifier: Apache-2.0
"""Settings of `api_key`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from tidegate.config.base import refuse
from tidegate.config.marks import Rule
from tidegate.config.policy_settings import PolicySettings
from tidegate.config.types import (
    ChangeableRequestFieldName,
    Choice,
    ControlOnly,
    FilePath,
    Flag,
    QueryName,
)
from tidegate.policies.api_key import key
from tidegate.policies.api_key.file import listed
from tidegate.policies.api_key.owner import ApiKeyOwner

_Scheme = Annotated[
    Literal["apikey", "bearer"],
    Choice("ApiKeyScheme", doc="Under which scheme a key stands in `Authorization`."),
]


class ApiKey(PolicySettings):
    """Requests show a key, which tells who calls; others are refused."""

    type: Literal["api_key"] = "api_key"
    """The room."""
    header: ChangeableRequestFieldName | None = "x-api-key"
    """The field that has the key; none with `null`."""
    authorization: _Scheme | None = None
    """The scheme under which it may stand in `Authorization` as well; in whatever case clients write it."""
    query: QueryName | None = None
    """The query parameter that may have it as well. URLs are kept by browsers, proxies and logs: only for
    clients that can do no better."""
    prefix: Annotated[str, Rule(key.prefix, "1 to 20 of `a-z 0-9 _`")] = key.PREFIX
    """What keys of `tidegate key new` begin with: one whose check is wrong is refused without a look-up.
    Keys that begin otherwise, which others made, are looked up as they are."""
    forward: Flag = False
    """Whether endpoints get the key."""
    owners: list[ApiKeyOwner] = Field(default_factory=list)
    """Whose keys are taken."""
    file: Annotated[FilePath | None, ControlOnly()] = None
    """A file with more of them, each a line of JSON; relative to the file that says so. It is read again with
    each reload, and when it changes where the configuration is watched."""

    elsewhere: ClassVar[dict[str, str]] = {
        "keys": "write `owners: [{ subject: ..., keys: [...] }]`",
        "key_names": "write `header` and `query`",
        "hide_credentials": "the key is taken out unless there is `forward: true`",
        "key_in_query": "write `query`, the parameter's name",
    }

    @model_validator(mode="after")
    def _is_whole(self) -> ApiKey:
        if self.header is None and self.authorization is None and self.query is None:
            raise refuse("takes no key from anywhere; write `header`, `authorization` or `query`", "rule")
        if self.header == "authorization":
            raise refuse("write `authorization: apikey` or `bearer` instead of `header`", "rule")
        if not self.owners and self.file is None:
            raise refuse("knows no keys; write `owners`, or the `file` that has them", "rule")
        return self

    def read(self, folder: Path) -> tuple[dict[str, str], list[str]]:
        """All owners, those in the file among them."""
        path = None if self.file is None else folder / self.file
        text, wrong = listed(self.owners, path)
        return {"owners": text}, wrong

    def found(self, folder: Path) -> Self:
        """With the whole path of the file."""
        return self if self.file is None else self.model_copy(update={"file": str(folder / self.file)})

    def files(self, folder: Path) -> Iterator[Path]:
        """The file of keys."""
        if self.file is not None:
            yield folder / self.file

    def redacted(self) -> tuple[list[str], list[str]]:
        """Field and parameter that have a key."""
        return [self.header] if self.header else [], [self.query] if self.query else []
