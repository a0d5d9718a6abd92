# SPDX-License-Identifier: Apache-2.0
"""Files that the gateway sends by itself."""
