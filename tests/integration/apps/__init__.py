# SPDX-License-Identifier: Apache-2.0
"""`examples/apps`, visited by a client and by a browser."""
