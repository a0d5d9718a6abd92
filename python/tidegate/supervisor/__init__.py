# SPDX-License-Identifier: Apache-2.0
"""The first process of a gateway: binds sockets, starts the other processes, watches them.

Start with `run`. `supervisor.py` ties the parts together; `binding.py` opens sockets, `processes.py`
starts and watches processes, `node.py`, `control.py` and `workers.py` keep one kind each.
"""

from tidegate.supervisor.run import Options, run

__all__ = ["Options", "run"]
