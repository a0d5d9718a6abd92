# SPDX-License-Identifier: Apache-2.0
"""The function worker's entry: runs the users' policies and functions until SIGTERM.

Run by the supervisor as `python -m tidegate._worker`, or by its path with the Python of the user's own
virtual environment, with the listening socket as descriptor 3 and its settings in TIDEGATE_WORKER (see
`functions/_settings.py`).
"""

import os
import sys


def main() -> int:
    """Runs the worker; returns its exit code."""
    if sys.version_info < (3, 11):  # noqa: UP036 - the users' Python may be any
        found = "%d.%d" % sys.version_info[:2]  # noqa: UP031
        print("error: functions need Python 3.11 or newer, not " + found, file=sys.stderr)
        return 3
    text = os.environ.pop("TIDEGATE_WORKER", "")
    if not text:
        print("error: function workers are started by `tidegate run`, not by hand", file=sys.stderr)
        return 2
    if __name__ == "__main__" and not __package__:
        _find_package()
    from tidegate.functions import _serve, _settings

    try:
        settings = _settings.read(text)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return _serve.run(settings)


def _find_package() -> None:
    """Makes `tidegate` importable in an environment where it is not installed.

    Only this package is made visible, not what is installed beside it: the users' code has to bring its
    own dependencies, and meets none of ours.
    """
    import importlib.util

    folder = os.path.dirname(os.path.abspath(__file__))
    spec = importlib.util.spec_from_file_location(
        "tidegate", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    assert spec is not None and spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules["tidegate"] = package
    spec.loader.exec_module(package)


if __name__ == "__main__":
    sys.exit(main())
