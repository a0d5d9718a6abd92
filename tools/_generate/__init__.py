# SPDX-License-Identifier: Apache-2.0
"""Parts of `tools/generate.py`: `rust` for structs, `rooms` for lists of rooms, `pages` for the reference."""
