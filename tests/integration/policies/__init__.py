# SPDX-License-Identifier: Apache-2.0
"""What all policies have in common: conditions, names, being tried."""
