# SPDX-License-Identifier: Apache-2.0
"""Files to models: positions, merging, `${...}`, and mistakes all at once."""

import textwrap
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tidegate.config.load import Loaded, load, loads
from tidegate.config.problem import ConfigError

GOOD = """
listeners:
  web: { port: 8080 }
routes:
  - { path: /a, to: "http://localhost:8081" }
"""


def read(text: str, **options: object) -> Loaded:
    return loads(textwrap.dedent(text), "tidegate.yaml", **options)  # type: ignore[arg-type]


def mistakes(text: str, **options: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(text, **options)
    return [str(problem).removeprefix("tidegate.yaml:") for problem in caught.value.problems]


def test_twelve_mistakes_give_twelve_messages_at_their_places() -> None:
    text = """\
    gateway:
      trusted_proxies: [10.0.0.1/8]
    listeners:
      public: { port: 8080 }
      second: { address: 127.0.0.1, port: 8080 }
      secure: { port: 8443, protocol: dns }
    backends:
      payment:
        endpoints: ["10.0.1.10:8080", "10.0.1.300:8080"]
        health_check: { type: http, intervall: 2s, timeout: 5 }
    routes:
      - { name: pay, path: /pay, to: paymnet }
      - { name: again, path: /pay, to: payment }
      - { path: { regex: "/x(?=y)" }, to: payment }
      - { path: /y, to: "wss://shop.example" }
      - { path: /z, to: payment, body_size: 10 MB! }
      - { path: /f, to: { function: users } }
    """
    assert mistakes(text) == [
        "2:21: gateway.trusted_proxies[0]: `10.0.0.1/8` has bits set behind its prefix; write `10.0.0.0/8`",
        "5:11: listeners.second: takes connections that listener `public` takes already ([::]:8080); "
        "change the port or the address",
        "6:35: listeners.secure.protocol: `dns` does not exist yet in this version; write `http`",
        "9:35: backends.payment.endpoints[1]: `10.0.1.300` is no IPv4 address",
        "10:33: backends.payment.health_check.intervall: no such setting; did you mean `interval`?",
        "10:57: backends.payment.health_check.timeout: 5 has no unit; "
        "write `5s` for seconds or `5ms` for milliseconds",
        "12:34: routes[0].to: no backend `paymnet`; did you mean `payment`?",
        "13:5: routes[1]: is never reached: `pay` (routes[0]) takes the same requests before it; "
        "remove one or make them differ",
        "14:13: routes[2].path: has look-ahead `(?=`, which needs backtracking or is not known; "
        "write it without",
        "15:21: routes[3].to: `wss://` backends do not exist yet in this version; write `http://host:port`",
        "16:41: routes[4].body_size: `10 MB!` is no size; write it like `32KiB` or `10MiB`",
        "17:33: routes[5].to.function: no function `users`; write it in section `functions`",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("listners: {}", "1:1: listners: no such setting; did you mean `listeners`?"),
        (
            "listeners: { web: { prot: 1, port: 1 } }",
            "1:21: listeners.web.prot: no such setting; did you mean `port`?",
        ),
        ("listeners: { web: {} }", "1:19: listeners.web: needs a `port` from 1 to 65535"),
        ("listeners: { web: 8080 }", "1:19: listeners.web: must be a mapping"),
        (
            "listeners:\n  web:\n    port:8080",
            "3:5: listeners.web: must be a mapping; a blank is missing behind the `:`, write `port: 8080`",
        ),
        (
            "listeners:\n  - port: 8080",
            "2:3: listeners: must be a mapping; write `name: value` without `- `",
        ),
        ("routes:\n  path: /a", "2:3: routes: must be a list; begin each entry with `- `"),
        (
            "backends: { b: { pool: false } }",
            "1:24: backends.b.pool: must be a mapping of `idle`, `idle_time`, `unsafe_idle_time`",
        ),
        (
            "listeners:{ web: { port: 8080 } }",
            "1:33: the indentation does not fit the mapping that began on line 1; "
            "a blank is missing behind the `:`",
        ),
        (
            "gateway: {}\nlisteners:\nweb:\n  port: 8080",
            "3:1: web: no such setting; known are `gateway`, `listeners`, `backends`, `routes`, `policies`, "
            "`functions`; if it belongs to `listeners` on line 2, indent it",
        ),
        (
            "routes: [{ path: /a, to: 'localhost:8081' }]",
            "1:26: routes[0].to: `localhost:8081` is no backend's name; write `http://localhost:8081`",
        ),
        (
            "routes: [{ path: /a, to: '[::1]:80' }]",
            "1:26: routes[0].to: `[::1]:80` is no backend's name; write `http://[::1]:80`",
        ),
        (
            "routes: [{ path: /a, to: 'http:/localhost' }]",
            "1:26: routes[0].to: `http:/localhost` is no backend's name and no URL; write `http://host:port`",
        ),
        (
            "listeners: { web: { port: '80' } }",
            "1:27: listeners.web.port: must be a whole number, without quotes",
        ),
        ("listeners: { web: { port: 70000 } }", "1:27: listeners.web.port: must be at most 65535"),
        ("listeners: { 'a b': { port: 80 } }", '1:14: listeners["a b"]: `a b` is no name; '),
        (
            "listeners: { admin: { port: 80 } }\ngateway: { admin: {} }",
            "1:21: listeners.admin: `admin` is the name",
        ),
        ("apis: {}", "1:1: apis: `apis` does not exist yet in this version"),
        (
            "routes: [{ path: /a, to: x, cache: y }]",
            "1:29: routes[0].cache: `cache` does not exist yet in this version",
        ),
        (
            "routes: [{ path: /a, to: { static: x } }]",
            "1:26: routes[0].to: `static` is no target; write `files`",
        ),
        (
            "routes: [{ path: /a, to: { mirror: x } }]",
            "1:26: routes[0].to: `mirror` is no target; write `mirror` beside `to`",
        ),
        ("routes: [{ path: /a, to: { compose: x } }]", "1:26: routes[0].to: `compose` does not exist yet"),
        (
            "routes: [{ path: /a, to: { respnd: 200 } }]",
            "1:26: routes[0].to: no such target `respnd`; did you mean `respond`?",
        ),
        ("routes: [{ path: /a }]", "1:10: routes[0].to: is missing"),
        ("routes: [{ path: /a, to: [] }]", "1:26: routes[0].to: must not be empty"),
        (
            "routes: [{ path: a, to: 'http://h' }]",
            "1:18: routes[0].path: `a` does not begin with `/`; write `/a`",
        ),
        (
            "routes: [{ path: /a, match: { path: /b }, to: 'http://h' }]",
            "1:10: routes[0]: `path` is the short form",
        ),
        (
            "routes: [{ path: /a, type: websocket, to: x }]",
            "1:28: routes[0].type: `websocket` does not exist yet in this version",
        ),
        (
            "routes: [{ match: { methods: get }, to: 'http://h' }]",
            "1:30: routes[0].match.methods: methods are case-sensitive; write `GET`",
        ),
        (
            "routes: [{ match: { headers: { x: 1 } }, to: 'http://h' }]",
            "1:30: routes[0].match.headers: `x`: a value is a text; put `1` in quotes",
        ),
        (
            "backends: { b: { endpoints: ['h:1', 'h:1'] } }",
            "1:29: backends.b.endpoints: `h:1` is there twice",
        ),
        (
            "backends: { b: { balancing: least_time } }",
            "1:29: backends.b.balancing: `least_time` does not exist yet in this version",
        ),
        (
            "backends: { b: { balancing: least_requests } }",
            "1:29: backends.b.balancing: no such type `least_requests`; did you mean `least_request`?",
        ),
        (
            "backends: { b: { health_check: /healthz } }",
            '1:32: backends.b.health_check: a text alone is a type; write `{ type: http, path: "/healthz" }`',
        ),
        (
            "backends: { b: { health_check: {} } }",
            "1:32: backends.b.health_check: has no `type`; "
            "there are `command`, `grpc`, `http`, `python`, `tcp`",
        ),
        ("functions: { f: { handler: a.b } }", "1:28: functions.f.handler: `a.b` has no `:`; write `a:b`"),
        ("policies: { p: [{ type: waf }] }", "1:17: policies.p[0]: `waf` does not exist yet in this version"),
        ("gateway: { graceful_stop: 0s }", "1:27: gateway.graceful_stop: must be longer than 0"),
        ("gateway: { threads: many }", "1:21: gateway.threads: must be a number from 1 to 1024, or `auto`"),
        ("a: 1\na: 2", "2:1: `a` is given twice, first on line 1; keep one"),
        ("a: &x 1\nb: { <<: *x }", "2:6: merge keys (`<<`) are not known"),
        ("a: *x", "1:4: `*x` has no anchor `&x` before it"),
        ("a: &x [*x]", "1:8: `*x` stands inside what it stands for"),
        ("a: !!python/object x", "1:4: `!!python/object` is a tag"),
        ("a: [", "2:1: did not find expected node content"),
        (
            "routes: [{ hosts: [*.a.b] }]",
            '1:21: a text that begins with `*` needs quotes, as in `"*.example.com"`',
        ),
        ("a: &.b c", "1:5: a text that begins with `&` needs quotes"),
        ("a: { port: ${env:PORT} }", "1:13: `${...}` inside `{ }` or `[ ]` needs quotes"),
        ("a: {\n  b: c", "3:1: a `,` or `}` is missing; it was opened on line 1"),
        ("a: [1, 2\nb: 3", "2:2: a `,` or `]` is missing; it was opened on line 1"),
        ("a: b: c", "1:5: a second `: ` in one line"),
        ("a:\n\tb: 1", "2:1: a tab; indent with blanks"),
        ("a: %x", "1:4: a text can not begin with `%`; put it in quotes"),
        ("a: 'b", "1:6: the quotes opened on line 1 are not closed"),
        ("a:\n  b: 1\n c: 2", "3:2: the indentation does not fit the mapping that began on line 1"),
        ("a:\n  - b\n c: 2", "3:2: the indentation does not fit the mapping that began on line 1"),
        ("a: - b", "1:4: a list's `- ` begins on a line of its own"),
        ('a: "\\q"', "1:5: an escape that is not known"),
        ("a: 1\n---\nb: 2", "2:1: is a second document"),
        ("- a", "1:1: must be a mapping"),
        ("[" * 200_000, "1:101: is nested deeper than 100"),
        ("a: @x", "1:4: a text can not begin with `@`; put it in quotes"),
        ("a: \x07", "1:1: holds a character that YAML does not allow"),
    ],
)
def test_a_mistake_is_said_where_it_is(text: str, message: str) -> None:
    assert any(found.startswith(message) for found in mistakes(text)), mistakes(text)


def test_several_mistakes_of_one_broken_route_are_all_said() -> None:
    text = """
    listeners: { web: { port: 80 } }
    routes: [{ path: x, to: nowhere, listeners: [wbe], timeouts: { request: soon } }]
    """
    found = mistakes(text)
    assert [message.split(": ")[1] for message in found] == [
        "routes[0].path",
        "routes[0].to",
        "routes[0].listeners[0]",
        "routes[0].timeouts.request",
    ]


def test_scalars_are_typed_by_yaml_1_2() -> None:
    loaded = read("""
    listeners: { no: { port: 0x1F90 }, on: { port: 0o1750 } }
    routes: [{ match: { headers: { x: no, y: 22:22, z: "true" } }, to: "http://localhost:1" }]
    """)
    assert {name: each.port for name, each in loaded.gateway.listeners.items()} == {"no": 8080, "on": 1000}
    assert [each.value for each in loaded.gateway.http_routes[0].match.headers] == ["no", "22:22", "true"]


def test_an_empty_file_and_empty_sections_are_an_empty_gateway() -> None:
    assert read("").gateway == read("routes:\nlisteners:\n# nothing\n").gateway


def test_anchors_and_aliases_share_values() -> None:
    loaded = read("""
    listeners: { web: { port: 80 } }
    backends:
      a: { endpoints: ["h:1"], timeouts: &patient { connect: 9s } }
      b: { endpoints: ["h:2"], timeouts: *patient }
    """)
    assert loaded.gateway.backends["b"].timeouts == loaded.gateway.backends["a"].timeouts


def test_aliases_that_multiply_are_stopped() -> None:
    lines = ["a0: &a0 [1,1,1,1,1,1,1,1,1,1]"]
    lines += [f"a{n}: &a{n} [" + ",".join([f"*a{n - 1}"] * 10) + "]" for n in range(1, 9)]
    assert any("too many values" in message for message in mistakes("\n".join(lines)))


def test_environment_and_files_fill_values(tmp_path: Path) -> None:
    (tmp_path / "robots.txt").write_text("User-agent: *\n")
    text = """
    gateway: { name: "${env:PORT}", threads: "${env:TWO}" }
    listeners:
      web: { port: "${env:PORT}", address: '${env:HOST}', proxy_status: "${env:YES}" }
      two: { port: 9000 }
    routes:
      - { path: /robots.txt, to: { respond: { body: "${file:robots.txt}" } } }
      - { path: /plain, to: { respond: { body: "$${env:PORT} $HOME ${env:HOST}" } } }
    """
    values = {"PORT": "8080", "HOST": "127.0.0.1", "TWO": "2", "YES": "true"}
    loaded = read(text, folder=tmp_path, environment=values)
    web = loaded.gateway.listeners["web"]
    assert (web.port, web.proxy_status, loaded.gateway.gateway.threads) == (8080, True, 2)
    assert loaded.gateway.gateway.name == "8080"
    bodies = [route.to.body for route in loaded.gateway.http_routes if route.to.type == "respond"]
    assert bodies == ["User-agent: *", "${env:PORT} $HOME 127.0.0.1"]
    assert loaded.files == [tmp_path / "robots.txt"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("${env:PROT}", "the environment variable `PROT` is not set; did you mean `PORT`?"),
        ("${env:ELSEWHERE_ENTIRELY}", "the environment variable `ELSEWHERE_ENTIRELY` is not set; set it,"),
        ("${env:a b}", "`a b` is no name of an environment variable"),
        ("${vault:x}", "`${vault:x}` is neither `${env:NAME}` nor `${file:path}`"),
        ("${PORT}", "`${PORT}` is neither"),
        ("${env:PORT", "has `${` without `}`"),
        ("${file:gone.txt}", "the file `gone.txt` can not be read: no such file or directory"),
        ("${file:.}", "the file `.` can not be read: it is no regular file"),
        ("${file:binary}", "the file `binary` is not UTF-8 text"),
    ],
)
def test_what_can_not_be_filled_in_is_said_once(value: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    text = f'listeners: {{ web: {{ port: 80, address: "{value}" }} }}'
    found = mistakes(text, folder=tmp_path, environment={"PORT": "1"})
    assert len(found) == 1
    assert found[0].startswith(f"1:40: {message}")


@pytest.mark.parametrize(
    "text",
    [
        "listeners: { web: { port: ${env:TOKEN} } }",
        "listeners: { web: { port: 80, address: '${env:TOKEN}' } }",
        "gateway: { graceful_stop: '${env:TOKEN}' }",
        "gateway: { admin: { address: ' ${env:TOKEN}' } }",
        "backends: { b: ['${env:TOKEN}'] }",
        "backends: { b: { endpoints: [x], balancing: '${env:TOKEN}' } }",
        "routes: [{ path: '${env:TOKEN}', to: '${env:TOKEN}' }]",
        "routes: [{ path: { regex: '(${env:TOKEN}' }, to: '${env:TOKEN}' }]",
        "listeners: { web: { port: 1 } }\nroutes: [{ path: /a, to: '${env:TOKEN}' }]",
        "listeners: { web: { port: 1 } }\nroutes: [{ path: /a, to: b, listeners: '${env:TOKEN}' }]",
        "routes: [{ name: '${env:TOKEN}', to: x }, { name: '${env:TOKEN}', to: x }]",
        "policies: { p: [{ type: request_headers, set: { Host: '${env:TOKEN}' } }] }",
        'policies: { p: [{ type: request_headers, set: { x: "a\\nb${env:TOKEN}" } }] }',
        "policies: { p: ['${env:TOKEN}'] }",
    ],
)
def test_what_came_from_the_environment_is_never_printed(text: str) -> None:
    secret = "hunter2 Correct/Horse"
    found = mistakes(text, environment={"TOKEN": secret})
    assert found
    for word in secret.split():
        assert word.lower() not in "\n".join(found).lower()


def test_files_of_a_folder_merge_in_the_order_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "20-shop.yaml").write_text(
        'routes: [{ name: shop, path: /shop, to: b }]\nbackends: { b: ["h:2"] }'
    )
    (tmp_path / "10-web.yml").write_text(GOOD)
    (tmp_path / ".hidden.yaml").write_text("nonsense: 1")
    loaded = load(tmp_path)
    assert [route.name for route in loaded.gateway.http_routes] == [None, "shop"]
    assert loaded.places.where(("routes", 1)) == f"{tmp_path}/20-shop.yaml:1"
    assert loaded.places.where(("routes", 0)) == f"{tmp_path}/10-web.yml:5"
    assert loaded.files == [tmp_path / "10-web.yml", tmp_path / "20-shop.yaml"]


def test_a_name_in_two_files_is_said_with_both_places(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("backends:\n  b: ['h:1']")
    (tmp_path / "b.yaml").write_text("backends:\n  b: ['h:2']")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/b.yaml:2:3: backends.b: is given twice, first in {tmp_path}/a.yaml:2; keep one"
    )


def test_files_that_can_not_be_read_are_said(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"a: 1\nb: \xe9")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "gone.yaml", tmp_path / "latin.yaml", tmp_path / "empty")
    found = sorted(str(problem).removeprefix(f"{tmp_path}/") for problem in caught.value.problems)
    assert found == [
        "empty: holds no `*.yaml` files",
        "gone.yaml: can not be read: no such file or directory; `tidegate init` writes one to begin with",
        "latin.yaml:2: is not UTF-8; save it as UTF-8",
    ]


@pytest.mark.parametrize("text", ["", "# all of it is a comment\n", "listeners:\nroutes:\n"])
def test_a_file_cut_short_closes_no_listener(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "a.yaml")
    assert str(caught.value) == (
        f"{tmp_path}/a.yaml: holds nothing; `tidegate init` writes a file to begin with"
    )
    # One of several may be.
    (tmp_path / "b.yaml").write_text("listeners: { web: { port: 80 } }")
    assert list(load(tmp_path).gateway.listeners) == ["web"]


def test_a_python_file_is_told_from_yaml(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("gateway = 1")
    for name, says in (
        ("shop.py", "shop.py: is Python; write `shop:gateway`, "),
        (
            "shop",
            "can not be read: no such file or directory; for the gateway in shop.py write `shop:gateway`",
        ),
    ):
        with pytest.raises(ConfigError) as caught:
            load(tmp_path / name)
        assert says in str(caught.value)


def test_json_is_yaml() -> None:
    assert read('{"listeners": {"web": {"port": 8080}}}').gateway.listeners["web"].port == 8080


yaml_like = st.text(alphabet=st.sampled_from("ab:-[]{}\"'&*#|>!%@,?\n \t~1/$\\<"), max_size=80)
words = st.sampled_from(
    [
        "listeners: ",
        "routes:",
        "backends:",
        " web",
        ": ",
        "{",
        "}",
        "[",
        "]",
        "- ",
        "\n",
        "  ",
        "port",
        "8080",
        "to",
        "path",
        "/x",
        "&a",
        "*a",
        "${env:X}",
        "${file:x}",
        "null",
        '"',
        "'",
        "#",
    ]
)


@given(st.one_of(st.text(max_size=200), yaml_like, st.lists(words, max_size=40).map("".join)))
@example("\x85")
@example("? ? ?")
@example("listeners: {? [a]: b}")
@example("a: !<tag:yaml.org,2002:float> x")
@example("routes: [{to: {}}]")
@example("routes: [null]")
@settings(max_examples=300, deadline=None)
def test_no_text_raises_anything_but_config_errors(text: str) -> None:
    try:
        loads(text, environment={"X": "1"}, folder=Path("/nonexistent"))
    except ConfigError as error:
        assert error.problems
        assert all(problem.message for problem in error.problems)


leaf = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20))
tree = st.recursive(
    leaf,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
keys = st.sampled_from(
    [
        "name",
        "path",
        "match",
        "methods",
        "headers",
        "query",
        "cookies",
        "clients",
        "local_addresses",
        "hosts",
        "to",
        "listeners",
        "policies",
        "rewrite",
        "timeouts",
        "retries",
        "type",
        "endpoints",
        "balancing",
        "health_check",
        "handler",
        "kind",
        "pool",
        "address",
        "port",
        "admin",
        "redirect",
        "respond",
        "function",
        "backend",
        "weight",
    ]
)


@given(
    st.dictionaries(
        st.sampled_from(["gateway", "listeners", "backends", "routes", "policies", "functions"]),
        st.one_of(
            tree,
            st.lists(st.dictionaries(keys, tree, max_size=5), max_size=3),
            st.dictionaries(
                st.text(min_size=1, max_size=4), st.dictionaries(keys, tree, max_size=5), max_size=3
            ),
        ),
    )
)
@settings(max_examples=200, deadline=None)
def test_no_data_raises_anything_but_config_errors(data: object) -> None:
    import json

    try:
        loads(json.dumps(data), folder=Path("/nonexistent"), environment={})
    except ConfigError as error:
        assert error.problems
