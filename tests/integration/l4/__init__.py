# SPDX-License-Identifier: Apache-2.0
"""Layer 4: connections without requests, through a real node."""
