# SPDX-License-Identifier: Apache-2.0
"""Routes that compete, and requests they compete for: few words, so that they meet."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from .router import Asked

LISTENERS = ["web", "side"]
_HOSTS = ["api.shop.test", "api.shop.test", "shop.test", "a.api.shop.test", "10.0.0.1", "[::1]"]
_WORDS = ["a", "a", "a", "b", "b", "users", "A", "a;p=1", "a%2Fb"]
_VALUES = ["gold", "golden", "Gold", "1", "12", "ü", "", "a b"]
_NAMES = ["X-Tier", "x-tier", "Accept"]
_KEYS = ["q", "Q", "a b", "ü"]
_COOKIES = ["c", "C", "session"]
_REGULAR = [
    r"/users(/.*)?",
    r"/(a|ab)(b|/b)?",
    r"/.*b",
    r"/[^/]+/?",
    r"(?i)/users",
    r"/a|/b",
    r"/\w+/\w+",
]


def _join(pieces: list[str]) -> str:
    return "/" + "/".join(pieces)


_paths = st.lists(st.sampled_from([*_WORDS, ""]), min_size=1, max_size=4).map(_join)
_plain = st.builds(
    lambda words, slash: _join(words) + ("/" if slash and words else ""),
    st.lists(st.sampled_from(_WORDS), max_size=3),
    st.booleans(),
)


def _template(words: list[str | None], rest: bool, slash: bool) -> str:
    names = iter("wxyz")
    pieces = [f"{{{next(names)}}}" if word is None else word for word in words]
    if rest:
        pieces.append("{rest*}")
    elif None not in words:
        pieces.append("{only}")
    return _join(pieces) + ("/" if slash and not rest else "")


_templates = st.builds(
    _template,
    st.lists(st.one_of(st.none(), st.sampled_from(_WORDS)), min_size=1, max_size=3),
    st.booleans(),
    st.booleans(),
)
_path_matches: st.SearchStrategy[Any] = st.one_of(
    _plain,
    _templates,
    _plain.map(lambda path: {"exact": path}),
    st.sampled_from(_REGULAR).map(lambda text: {"regex": text}),
)
_wanted: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(_VALUES),
    st.just({"present": True}),
    st.sampled_from(["go.*", r"\d+", ".", "..", "gold|1", "[^a]*"]).map(lambda text: {"regex": text}),
)


def _some(strategy: st.SearchStrategy[Any], empty: Any) -> st.SearchStrategy[Any]:
    """Mostly nothing: a route that asks for everything takes no request."""
    return st.integers(0, 4).flatmap(lambda number: strategy if number == 4 else st.just(empty))


def _fields(names: list[str]) -> st.SearchStrategy[Any]:
    return _some(st.dictionaries(st.sampled_from(names), _wanted, min_size=1, max_size=2), {})


routes = st.fixed_dictionaries(
    {
        "listeners": _some(st.sampled_from([["web"], ["side"], LISTENERS]), []),
        "hosts": _some(
            st.lists(
                st.sampled_from(["*.test", "*.shop.test", "*.api.shop.test", *_HOSTS]),
                min_size=1,
                max_size=2,
                unique=True,
            ),
            [],
        ),
        "match": st.fixed_dictionaries(
            {
                "path": _path_matches,
                "methods": _some(st.sampled_from([["GET"], ["Get-it"], ["POST", "GET"], ["M-SEARCH"]]), []),
                "headers": _fields(["X-Tier", "Accept"]),
                "query": _fields(_KEYS),
                "cookies": _fields(_COOKIES),
                "clients": _some(
                    st.sampled_from([["127.0.0.0/8"], ["10.1.2.3"], ["2001:db8::/32", "10.0.0.0/8"]]), []
                ),
            }
        ),
    }
)

_query_pieces = st.sampled_from(
    [
        "q=gold",
        "q=1",
        "q=go%6cd",
        "%71=1",
        "q",
        "q=",
        "a+b=a+b",
        "a%20b=1",
        "%C3%BC=%c3%bc",
        "q=%zz",
        "Q=1",
        "",
    ]
)
_cookie_pairs = st.sampled_from(["c=1", "c=gold", "C=1", "c", "=1", "session=a b", " c = 1 ", "c=%31", ""])
_headers = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(_NAMES), st.sampled_from(_VALUES)),
        st.tuples(st.just("Cookie"), st.lists(_cookie_pairs, max_size=3).map(";".join)),
    ),
    max_size=3,
)

requests = st.builds(
    Asked,
    listener=st.sampled_from(LISTENERS),
    method=st.sampled_from(["GET", "GET", "POST", "get", "GET-IT", "Get-it", "M-SEARCH"]),
    host=st.sampled_from(_HOSTS),
    path=_paths,
    query=st.lists(_query_pieces, max_size=3).map("&".join),
    headers=_headers.map(tuple),
    client=st.sampled_from(
        ["127.0.0.1", "10.1.2.3", "10.9.9.9", "2001:db8::7", "::ffff:10.1.2.3", "fe80::1"]
    ),
)


def _subset(of: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.sets(st.sampled_from(sorted(of))).map(lambda keys: {key: of[key] for key in sorted(keys)})


rich_routes = st.fixed_dictionaries(
    {
        "hosts": st.sampled_from([[], [], ["*.test"], ["*.shop.test"], ["api.shop.test"]]),
        "match": st.fixed_dictionaries(
            {
                "path": st.sampled_from(
                    ["/", "/a", "/a/b", "/{x}/b", "/a/{x}", "/{x}/{y}", "/{rest*}", {"regex": "/.*"}]
                ),
                "methods": st.sampled_from([[], [], ["GET"]]),
                "headers": _subset({"X-Tier": "gold", "Accept": {"present": True}}),
                "query": _subset({"q": "1", "b": {"regex": ".*"}}),
                "cookies": _subset({"c": "1", "session": {"present": True}}),
                "clients": st.sampled_from([[], [], ["10.0.0.0/8"]]),
            }
        ),
    }
)
"""Routes that nearly all take a request which has everything: what is left to decide is their order."""

rich_requests = st.builds(
    Asked,
    listener=st.just("web"),
    method=st.sampled_from(["GET", "GET", "GET", "POST"]),
    host=st.sampled_from(["api.shop.test", "api.shop.test", "shop.test"]),
    path=st.sampled_from(["/a/b", "/a/b", "/a", "/a/b/c"]),
    query=st.sampled_from(["q=1&b=2", "q=1&b=2", "q=1", ""]),
    headers=st.sampled_from(
        [
            (("X-Tier", "gold"), ("Accept", "a/b"), ("Cookie", "c=1; session=s")),
            (("X-Tier", "gold"), ("Accept", "a/b"), ("Cookie", "c=1; session=s")),
            (("X-Tier", "gold"), ("Cookie", "c=1")),
        ]
    ),
    client=st.sampled_from(["10.1.2.3", "10.1.2.3", "127.0.0.1"]),
)
