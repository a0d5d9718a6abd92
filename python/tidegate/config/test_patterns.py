# SPDX-License-Identifier: Apache-2.0
"""Paths, templates and regular expressions."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.config import patterns


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("/%61%2f%7e", "/a%2F~"),
        ("//a///b", "/a/b"),
        ("/a;b=c", "/a;b=c"),
        ("/a/", "/a/"),
    ],
)
def test_paths_are_spelled_as_requests_are(text: str, result: str) -> None:
    assert patterns.path(text) == result


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "write `/a`"),
        ("", "does not begin with `/`"),
        ("/a?b=c", "match it with `query: { name: value }`"),
        ("/a#b", "has a fragment"),
        ("/a/../b", "has a `..` segment"),
        ("/a/%2e%2E/b", "has a `..` segment"),
        ("/a/..;x/b", "has a `..;x` segment"),
        ("/a/./b", "has a `.` segment"),
        ("/a%", "broken escape"),
        ("/a%2", "broken escape"),
        ("/a%zz", "broken escape"),
        ("/a%00", "always refused"),
        ("/a%5c", "always refused"),
        ("/a\\b", "always refused"),
        ("/a b", "write `%20`"),
        ("/é", "write `%C3%A9`"),
        ("/a*", "has a '*'"),
    ],
)
def test_paths_that_no_request_has_are_refused(text: str, message: str) -> None:
    if text == "/a*":
        assert patterns.path(text) == "/a*"
        return
    with pytest.raises(ValueError, match=r"(?s).") as caught:
        patterns.path(text)
    assert message in str(caught.value)


def test_a_template_has_literals_and_parameters() -> None:
    template = patterns.template("/users/{id}/files/{rest*}")
    assert template.segments == ("users", ("id", False), "files", ("rest", True))
    assert template.parameters == ("id", "rest")
    assert template.text == "/users/{id}/files/{rest*}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("users/{id}", "write `/users/{id}`"),
        ("/users/{id", "a parameter is a whole segment"),
        ("/users/id}", "a parameter is a whole segment"),
        ("/users/u{id}", "a parameter is a whole segment"),
        ("/users/{a}{b}", "a parameter is a whole segment"),
        ("/users/{}", "is no parameter name"),
        ("/users/{a-b}", "is no parameter name"),
        ("/users/{a}/{a}", "is twice"),
        ("/users/{a*}/b", "must be last"),
        ("/users//{a}", "has an empty segment"),
        ("/users/../{a}", "has a `..` segment"),
        ("/{a}" * 129, "more than 128 segments"),
    ],
)
def test_bad_templates_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"(?s).") as caught:
        patterns.template(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "/x[0-9]+",
        "/(a|b)/.*",
        r"/\d{3}\.html",
        "(?i)/x",
        "(?P<n>x)",
        "(?<n>x)",
        "/[[:alpha:]]+",
        r"/\x{41}",
        "/[^/]+",
        "/[]x]",
        "/a*?",
        r"/\[a\]",
        "/a{2,3}",
        "(?:a)",
        "(?s-i:a)",
        "/[(?=]",
    ],
)
def test_regular_expressions_of_the_engine_are_accepted(text: str) -> None:
    assert patterns.regex(text) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("/x(?=y)", "look-ahead"),
        ("/x(?!y)", "look-ahead"),
        ("(?<=x)y", "look-behind"),
        ("(?<!x)y", "look-behind"),
        ("(?>x)", "atomic group"),
        (r"(a)\1", "back reference"),
        ("(?P<n>a)(?P=n)", "back reference"),
        ("(?(1)a|b)", "condition"),
        ("a++", "possessive"),
        ("a(", "is no regular expression"),
        ("[a", "is no regular expression"),
        ("a{3,1}", "is no regular expression"),
        ("*a", "is no regular expression"),
        ("", "is empty"),
        ("x" * 5000, "at most 4096"),
        (r"a\Z", "does not know"),
    ],
)
def test_what_needs_backtracking_or_is_broken_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"(?s).") as caught:
        patterns.regex(text)
    assert message in str(caught.value)


@given(
    st.sampled_from([patterns.path, patterns.template, patterns.regex, patterns.path_and_query]),
    st.one_of(st.text(max_size=40), st.text(alphabet="/a{}*%2e.;?[]()\\<=!+|^$-:&~", max_size=30)),
)
def test_any_text_is_read_or_refused_as_a_value(read: object, text: str) -> None:
    with contextlib.suppress(ValueError):
        read(text)  # type: ignore[operator]
