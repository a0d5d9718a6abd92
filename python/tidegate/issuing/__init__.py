# SPDX-License-Identifier: Apache-2.0
"""How certificates are got: from an authority for development that is made here.

`development.py` makes authority and certificates, `trust.py` has browsers trust the authority. What signs is
`crates/issuing`.
"""
