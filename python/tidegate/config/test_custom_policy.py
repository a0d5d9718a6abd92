# SPDX-License-Identifier: Apache-2.0
"""Policies of others: their classes, what is sent of them, and their place in the schema."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import AwareDatetime, BaseModel, Field, field_validator

from tidegate import ConfigError, CustomPolicy, Function, Gateway, Route, Secret
from tidegate.config import rooms, schema
from tidegate.config.base import Model
from tidegate.config.compile import compile_gateway
from tidegate.config.rooms import sent
from tidegate.config.types import BackendRef, ByteSize, Duration
from tidegate.functions._given import binder, revealed


class Window(BaseModel):
    """A class of pydantic's own."""

    start: AwareDatetime


class Limit(Model):
    """One of tidegate's kind."""

    most: Annotated[int, Field(ge=1)]


class Partners(CustomPolicy):
    """Tells the tier."""

    type: Literal["partners"] = "partners"
    tier: str
    """What they pay for."""
    share: Annotated[float, Field(ge=0, le=1)] = 0.5
    wait: Duration = Duration("90s")
    limits: dict[str, Limit] = Field(default_factory=dict)
    window: Window | None = None
    names: frozenset[str] = frozenset()
    key: Secret | None = None
    to: BackendRef | None = None
    body: ByteSize | None = None

    function = Function(handler="partners.rules:check", kind="policy", deadline="2s")


class Short(CustomPolicy):
    """A handler alone."""

    type: Literal["short"] = "short"
    function = "short:check"


def handed(value: CustomPolicy) -> Any:
    """What the code is handed: through the JSON of the node and a worker's class."""
    told: dict[str, Any] = {}

    def refer(found: Any) -> dict[str, Any]:
        return {"secret": {"id": found.id, "value": found.reveal()}}

    from pydantic_core import to_json

    text = to_json(sent(value)["settings"]["given"], fallback=refer).decode()
    bound = binder(lambda settings: told.update(settings=settings), f"{__name__}:{type(value).__qualname__}")
    bound(text)()
    return told["settings"]


def test_the_code_is_handed_an_equal_object() -> None:
    value = Partners(
        tier="gold",
        share=0.25,
        wait="1500ms",
        limits={"a": {"most": 3}},
        window={"start": datetime.fromisoformat("2026-12-24T00:00:00+00:00")},
        names=["a", "b"],
        body="1KiB",
    )
    assert handed(value) == value
    assert handed(Partners(tier="x")) == Partners(tier="x")


def test_a_secret_is_handed_over_and_not_shown() -> None:
    value = Partners(tier="gold", key=Secret("hunter2", "env:KEY"))
    assert handed(value).key.reveal() == "hunter2"
    assert "hunter2" not in repr(value) + value.model_dump_json() + json.dumps(sent(value, "json"))


def test_a_setting_that_looks_like_a_secret_is_left_alone() -> None:
    for text in ('{"secret":"x"}', '{"secret":{"id":"x"}}', '{"a":{"secret":{"id":1,"value":2,"b":3}}}'):
        assert json.loads(revealed(text)) == json.loads(text)


def test_equal_settings_are_one_object_in_a_worker() -> None:
    bind = binder(lambda settings: settings, f"{__name__}:Partners")
    assert bind('{"tier":"a"}')() is bind('{"tier":"a"}')()
    assert bind('{"tier":"a"}')() is not bind('{"tier":"b"}')()


def test_it_is_sent_as_one_of_the_room_python() -> None:
    value = Partners(tier="gold", body="1KiB", name="gate", when="true", shadow=True)
    assert sent(value) == {
        "kind": "python",
        "settings": {"function": "partners", "body": ByteSize("1KiB"), "given": value.given()},
        "name": "gate",
        "when": "true",
        "shadow": True,
    }
    assert value.given().keys().isdisjoint({"name", "when", "shadow", "locked", "on_error", "type"})
    assert sent(Short())["name"] == "short"


def test_its_function_is_part_of_the_snapshot() -> None:
    gateway = Gateway(
        listeners={"web": {"port": 80}},
        routes=[Route(path="/", to={"respond": 204}, policies=[Partners(tier="gold"), Short()])],
    )
    functions = {
        name: json.loads(each.value)
        for (kind, name), each in compile_gateway(gateway).resources.items()
        if kind == "function"
    }
    assert {name: each["deadline"] for name, each in functions.items()} == {"partners": 2000, "short": 1000}
    assert functions["short"]["kind"] == "policy"


def test_two_classes_of_one_type_are_refused() -> None:
    class Other(Short):
        pass

    Other.__qualname__ = "Other"
    routes = [
        Route(path=path, to={"respond": 204}, policies=[each])
        for path, each in (("/a", Short()), ("/b", Other()))
    ]
    from tidegate.config.check import check_gateway

    with pytest.raises(
        ConfigError, match=r"routes\[1\]\.policies\[0\]: another class is of type `short` too"
    ):
        check_gateway(Gateway(listeners={"web": {"port": 80}}, routes=routes))


def test_a_reference_in_its_settings_is_checked() -> None:
    from tidegate.config.check import check_gateway

    route = Route(path="/", to={"respond": 204}, policies=[Partners(tier="gold", to="nobody")])
    with pytest.raises(ConfigError, match="no backend `nobody`"):
        check_gateway(Gateway(listeners={"web": {"port": 80}}, routes=[route]))


class NoFunction(CustomPolicy):
    type: Literal["none"] = "none"


class NoPolicy(CustomPolicy):
    type: Literal["no_policy"] = "no_policy"
    function: ClassVar[Function | str] = Function(handler="a:b")


class NoWayBack(CustomPolicy):
    """Reads what it does not write."""

    type: Literal["no_way_back"] = "no_way_back"
    number: str = "1"
    function = "a:b"

    @field_validator("number", mode="after")
    @classmethod
    def _doubled(cls, value: str) -> str:
        if not value.isdigit():
            raise ValueError("no digit")
        return f"<{value}>"


def used(policy: object) -> None:
    Route(path="/", to={"respond": 204}, policies=[policy])


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        (NoFunction(), "NoFunction has no `function`: write the handler of its code"),
        (NoPolicy(), "NoPolicy has no `function`"),
        (NoWayBack(number="7"), "NoWayBack does not read what it writes itself: number: "),
    ],
)
def test_a_class_that_can_not_be_one_is_told(policy: CustomPolicy, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        used(policy)
    assert says in str(refused.value)


def test_a_class_inside_of_a_function_is_told() -> None:
    class Local(CustomPolicy):
        type: Literal["local"] = "local"
        function = "a:b"

    with pytest.raises(ConfigError, match="must stand in a module that workers can import"):
        used(Local())


def test_the_schema_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    models = {"partners": Partners}
    real = rooms.room
    monkeypatch.setattr(
        schema, "tags", lambda area: (*rooms.tags(area), *(models if area == "policies" else ()))
    )
    monkeypatch.setattr(schema, "room", lambda area, tag: models.get(tag) or real(area, tag))
    made = schema.schema()
    found = made["$defs"]["policies.partners"]
    assert found["description"] == "Tells the tier."
    assert found["required"] == ["type", "tier"]
    assert found["additionalProperties"] is False
    properties = found["properties"]
    assert properties["tier"]["description"] == "What they pay for."
    assert properties["wait"]["default"] == "90s"
    assert properties["share"]["anyOf"][0] == {"type": "number", "minimum": 0, "maximum": 1}
    assert properties["window"]["anyOf"][0]["properties"]["start"]["format"] == "date-time"
    limit = properties["limits"]["additionalProperties"]["$ref"].removeprefix("#/$defs/")
    assert made["$defs"][limit]["properties"]["most"]["anyOf"][0] == {"type": "integer", "minimum": 1}
    assert {"$ref": "#/$defs/policies.partners"} in made["properties"]["policies"]["anyOf"][0][
        "additionalProperties"
    ]["items"]["anyOf"]
