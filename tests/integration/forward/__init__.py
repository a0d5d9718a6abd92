# SPDX-License-Identifier: Apache-2.0
"""The forward proxy, through a real node and with clients that are not ours."""
