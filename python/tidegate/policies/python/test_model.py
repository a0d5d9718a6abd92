# SPDX-License-Identifier: Apache-2.0
"""Settings of `python`: good and bad."""

import pytest

from tidegate.config.problem import ConfigError
from tidegate.policies.python import PythonPolicy, Settings


def test_it_names_a_function() -> None:
    assert Settings is PythonPolicy
    assert PythonPolicy(function="guard").function == "guard"


@pytest.mark.parametrize(
    "settings", [{}, {"function": "a b"}, {"function": 1}, {"function": "a", "pool": "b"}]
)
def test_anything_else_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        PythonPolicy(**settings)
