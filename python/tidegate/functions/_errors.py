# SPDX-License-Identifier: Apache-2.0
"""Errors that user code may see, and those of a worker that cannot start."""


class BodyTooLarge(Exception):
    """The request's body is over the function's `max_body`. Not caught, it becomes a 413."""


class LoadError(Exception):
    """A handler cannot be used; the text says what to do."""
