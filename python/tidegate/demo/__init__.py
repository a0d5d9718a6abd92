# SPDX-License-Identifier: Apache-2.0
"""`tidegate demo`: a shop behind a chain of tidegates, as real processes on this machine.

`main` is what the command line calls with its arguments. Start reading at `topology.py` for what can
run, `running.py` for how it does, `tour/steps/` for what the tour shows.
"""

from tidegate.demo.command import main

__all__ = ["main"]
