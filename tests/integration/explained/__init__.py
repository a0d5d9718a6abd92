# SPDX-License-Identifier: Apache-2.0
"""`explain` against the live path: random requests over random configurations, told before they are sent."""
