# SPDX-License-Identifier: Apache-2.0
"""A small shop of real services: user, order, payment, cart, stock and the web page in front of them.

Plain ASGI applications, and one that speaks in lines over TCP, on the standard library alone, so that
`pip install tidegate` is all the demo needs. Start reading at `asgi.py` (what the services share), then
`user.py`, the smallest service, then `serve.py`, the HTTP/1.1 server that runs one of them as one process.
"""
