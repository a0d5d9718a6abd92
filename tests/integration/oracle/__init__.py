# SPDX-License-Identifier: Apache-2.0
"""Python models of the router and of each balancer, from the rules: what the engine is held against."""
