# SPDX-License-Identifier: Apache-2.0
"""Configuration: models, the loader that reads files into them, the compiler that makes snapshots of them.

Start with `gateway.py` for the whole, `load.py` for files, `compile.py` for what the node gets. Nothing here
opens a socket or talks to a node.
"""
