# SPDX-License-Identifier: Apache-2.0
"""Which endpoints each backend has: those of the configuration, of sources, of instances that registered
themselves, and what the operator changed.

`roster.py` puts them together, `memory.py` keeps them over restarts of control.
"""

from tidegate.control.endpoints.memory import Memory
from tidegate.control.endpoints.roster import Change, Entry, Roster

__all__ = ["Change", "Entry", "Memory", "Roster"]
