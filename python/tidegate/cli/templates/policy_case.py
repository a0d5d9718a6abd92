"""What the policy `policy_name` does, in a whole gateway before an endpoint of its own. Run `pytest`."""

import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tidegate.testing import Reply

CONFIGURATION = """
listeners: {{ web: {{ port: 8080 }} }}
functions:
  policy_name: {{ handler: "policy_name:policy_name", kind: policy, path: "{folder}" }}
routes:
  - {{ path: /, to: "{url}", policies: [{{ type: python, function: policy_name }}] }}
"""


@pytest.fixture
def upstream(tidegate_endpoint):
    return tidegate_endpoint(Reply(body=b"hello"))


@pytest.fixture
def url(tidegate_gateway, upstream):
    text = CONFIGURATION.format(folder=Path(__file__).parent, url=upstream.url)
    return tidegate_gateway(text, processes=True).url


def test_a_request_without_a_key_is_refused(url, upstream):
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url)
    assert refused.value.code == 401
    assert upstream.messages == []


def test_a_key_lets_a_request_in_and_stays_here(url, upstream):
    request = urllib.request.Request(url, headers={"X-Key": "let-me-in"})
    with urllib.request.urlopen(request) as response:
        assert response.read() == b"hello"
        assert response.headers["x-policy"] == "policy_name"
    assert upstream.messages[0].get("x-key") is None
