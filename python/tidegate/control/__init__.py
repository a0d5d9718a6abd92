# SPDX-License-Identifier: Apache-2.0
"""Control: reads the configuration, compiles it, brings the node from one snapshot to the next.

It touches no request and imports no user code. Start with `controller.py`; `sources.py` reads files
and objects, `apply.py` is the order in which a change happens, `links.py` the conversations.
"""
