# SPDX-License-Identifier: Apache-2.0
"""Which values are secret, what a snapshot has of them, and that nothing else has any."""

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

import tidegate
from tidegate.config.compile import Compiler, compile_gateway
from tidegate.config.gateway import Gateway
from tidegate.config.load import Loader, loads
from tidegate.config.problem import ConfigError
from tidegate.config.secret import Outside, Secret, pickled
from tidegate.config.snapshot import Snapshot

PLANTED = "canary"
ENVIRONMENT = {"KEY": PLANTED, "PATH_": "/open", "HOST": "127.0.0.1", "PORT": "80"}
CREDENTIALS = (
    "policies: { p: [{ type: request_headers, set: { x: 'WRITTEN' } }] }",
    "policies: { p: [{ type: request_headers, add: { x: [a, 'WRITTEN'] } }] }",
    "policies: { p: [{ type: response_headers, set: { x: 'WRITTEN' } }] }",
    "policies: { p: [{ type: response_headers, add: { x: 'WRITTEN' } }] }",
    "routes: [{ name: r, path: /, to: { respond: { headers: { x: 'WRITTEN' } } } }]",
    "routes: [{ name: r, match: { headers: { x: 'WRITTEN' } }, to: { respond: 200 } }]",
    "routes: [{ name: r, match: { query: { x: 'WRITTEN' } }, to: { respond: 200 } }]",
    "routes: [{ name: r, match: { cookies: { x: 'WRITTEN' } }, to: { respond: 200 } }]",
)
WEB = "listeners: { web: { port: 1, policies: [p] } }\n"


def compiled(text: str, **environment: str) -> Snapshot:
    return compile_gateway(loads(text, environment={**ENVIRONMENT, **environment}).gateway, threads=1)


def secrets(snapshot: Snapshot) -> dict[str, dict[str, str]]:
    """By resource, the secrets in a delta."""
    return {f"{each['kind']} {each['name']}": each["values"] for each in snapshot.delta(None)["secrets"]}


@pytest.mark.parametrize("text", CREDENTIALS)
@pytest.mark.parametrize("written", ["${env:KEY}", "a ${env:KEY} b", "${env:KEY}${file:more}"])
def test_a_credential_from_outside_is_in_the_section_of_secrets_alone(
    text: str, written: str, tmp_path: Path
) -> None:
    (tmp_path / "more").write_text("-more")
    text = (WEB if "policies:" in text else "listeners: { web: { port: 1 } }\n") + text
    loaded = loads(text.replace("WRITTEN", written), folder=tmp_path, environment=ENVIRONMENT)
    snapshot = compile_gateway(loaded.gateway, threads=1)
    [(place, values)] = secrets(snapshot).items()
    name, value = next(iter(values.items()))
    assert value == written.replace("${env:KEY}", PLANTED).replace("${file:more}", "-more")
    assert name == ("env:KEY+file:more" if "file" in written else "env:KEY")
    kind, _, own = place.partition(" ")
    assert f'{{"secret":"{name}"}}' in snapshot.resources[kind, own].value
    delta = snapshot.delta(None)
    assert PLANTED not in json.dumps(delta["set"])
    for shown in (
        repr(loaded.gateway),
        str(loaded.gateway),
        loaded.gateway.model_dump_json(),
        repr(snapshot),
    ):
        assert PLANTED not in shown
    assert PLANTED not in str(loaded.gateway.model_dump())


def test_other_settings_take_what_is_outside_as_an_ordinary_value() -> None:
    snapshot = compiled(
        "listeners: { web: { port: '${env:PORT}', address: '${env:HOST}' } }\n"
        "routes: [{ path: '${env:PATH_}', to: { redirect: 'http://h/${env:KEY}' } },\n"
        "  { name: r, match: { path: /x, headers: { x: { regex: '${env:KEY}.*' } } },\n"
        "    to: { respond: '${env:KEY}' } }]\n"
    )
    assert secrets(snapshot) == {}
    listener = json.loads(snapshot.resources["listener", "web"].value)
    assert (listener["address"], listener["port"]) == ("127.0.0.1", 80)
    assert ("route", "/open") in snapshot.resources
    route = json.loads(snapshot.resources["route", "r"].value)
    assert route["match"]["headers"] == [{"name": "x", "kind": "regex", "value": "canary.*"}]
    assert route["to"]["body"] == "canary"


def test_what_is_written_in_the_file_is_no_secret() -> None:
    assert secrets(compiled(WEB + CREDENTIALS[0].replace("WRITTEN", "plain $${env:KEY}"))) == {}


def test_a_rotated_secret_changes_what_refers_to_it_and_no_hash() -> None:
    text = WEB + CREDENTIALS[0].replace("WRITTEN", "${env:KEY}")
    text += "\nroutes: [{ name: a, path: /a, policies: [p], to: { respond: 200 } },"
    text += " { name: b, path: /b, to: { respond: 200 } }]"
    loader, compiler = Loader(environment=(environment := dict(ENVIRONMENT))), Compiler("/run/t", 1)
    before = compiler.compile(loader.loads([("t", Path(), text)]).gateway)
    environment["KEY"] = "rotated"
    after = compiler.compile(loader.loads([("t", Path(), text)]).gateway)
    assert after.changed(before) == [("listener", "web"), ("route", "a")]
    delta = after.delta(before, base=1, number=2)
    assert [each["name"] for each in delta["set"]] == ["web", "a"]
    assert [each["values"] for each in delta["secrets"]] == [{"env:KEY": "rotated"}] * 2
    for key, resource in after.resources.items():
        assert resource.hash == before.resources[key].hash


def test_names_that_mean_two_things_are_told_apart(tmp_path: Path) -> None:
    texts = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "key").write_text(name)
        policies = (
            f"policies: {{ {name}: [{{ type: request_headers, set: {{ x-{name}: '${{file:key}}' }} }}] }}\n"
        )
        texts.append((f"{name}.yaml", tmp_path / name, policies))
    texts.append(("c.yaml", tmp_path, "listeners: { web: { port: 1, policies: [a, b] } }"))
    snapshot = compile_gateway(Loader().loads(texts).gateway, threads=1)
    assert secrets(snapshot) == {"listener web": {"file:key": "a", "file:key#2": "b"}}
    headers = {"a": Secret("1"), "b": Secret("2"), "c": Secret("1")}
    gateway = Gateway.model_validate(
        {"listeners": {"w": {"port": 1, "policies": [{"type": "request_headers", "set": headers}]}}}
    )
    snapshot = compile_gateway(gateway, threads=1)
    assert secrets(snapshot) == {"listener w": {"unnamed": "1", "unnamed#2": "2"}}


def test_both_forms_are_the_same_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    here = Path(__file__)
    text = (
        "listeners: { web: { port: 1 } }\nroutes: [{ path: /, policies: [{ type: request_headers, set: "
        f"{{ a: 'Bearer ${{env:KEY}}', b: '${{file:{here.name}.txt}}' }} }}], "
        "match: { headers: { c: '${env:KEY}' } }, to: 'http://h' }]"
    ).replace("path: /, ", "")
    beside = here.with_name(here.name + ".txt")
    beside.write_text("beside\n")
    try:
        from_file = compile_gateway(loads(text, folder=here.parent).gateway, threads=1)
        headers = {"a": "Bearer " + tidegate.env("KEY"), "b": tidegate.file(beside.name)}
        gateway = tidegate.Gateway(
            listeners={"web": tidegate.Listener(port=1)},
            routes=[
                tidegate.Route(
                    policies=[{"type": "request_headers", "set": headers}],
                    match=tidegate.Match(headers={"c": tidegate.env("KEY")}),
                    to="http://h",
                )
            ],
        )
    finally:
        beside.unlink()
    from_python = compile_gateway(gateway, threads=1)
    assert from_python.changed(from_file) == []
    assert from_python.resources == from_file.resources
    assert list(secrets(from_python).values()) == [
        {"env:KEY": PLANTED, "env:KEY#2": f"Bearer {PLANTED}", f"file:{here.name}.txt": "beside"}
    ]


def test_what_is_not_there_is_said_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"environment variable `NOT_SET_AT_ALL` is not set") as caught:
        tidegate.env("NOT_SET_AT_ALL")
    assert (caught.value.problems[0].file, caught.value.problems[0].line > 0) == (__file__, True)
    with pytest.raises(ConfigError, match=r"the file `gone` can not be read: no such file") as caught:
        tidegate.file("gone")
    assert caught.value.problems[0].file == __file__
    (tmp_path / "key").write_text("x")
    assert tidegate.file(tmp_path / "key").reveal() == "x"


@pytest.mark.parametrize("text", CREDENTIALS)
def test_what_can_not_be_read_is_one_mistake(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loads(text.replace("WRITTEN", "Bearer ${env:GONE}"), environment=ENVIRONMENT)
    [problem] = [each for each in caught.value.problems if "no listener takes" not in each.message]
    assert "the environment variable `GONE` is not set" in problem.message


def wrong(value: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        tidegate.Gateway(policies={"p": [{"type": "request_headers", "set": {"x": value}}]})
    return str(caught.value)


def test_a_secret_that_does_not_fit_is_refused_without_being_shown() -> None:
    said = wrong(Secret("canary\n", "env:KEY"))
    assert "what `env:KEY` stands for does not fit here" in said
    assert PLANTED not in said
    assert "must be text" in wrong(1)
    with pytest.raises(ConfigError, match="takes no secret") as caught:
        tidegate.Listener(address=Secret(PLANTED), port=1)
    assert PLANTED not in str(caught.value)


def test_what_came_from_outside_and_its_copies_do_not_print() -> None:
    outside = Outside(PLANTED, ("env:KEY",))
    assert (repr([outside]), outside) == ("[(secret env:KEY)]", PLANTED)
    assert copy.deepcopy({"a": Secret(PLANTED)})["a"].reveal() == PLANTED
    assert Secret("x", "file:\u00e4\n").id == "file:??"
    again = pickle.loads(pickled([Secret(PLANTED, "env:KEY")]))
    assert again == [Secret(PLANTED, "env:KEY")]
