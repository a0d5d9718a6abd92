# SPDX-License-Identifier: Apache-2.0
"""Each setting that reaches the node has a test here that shows its effect on traffic."""
