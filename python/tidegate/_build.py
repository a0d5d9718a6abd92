# SPDX-License-Identifier: Apache-2.0
"""Which tidegate this is: the version of the package, and the very build of its engine.

The supervisor asks for neither before it serves, so what they need is imported then.
"""


def version() -> str:
    """The installed package's version; `0+checkout` where it runs without being installed."""
    from importlib import metadata

    try:
        return metadata.version("tidegate")
    except metadata.PackageNotFoundError:
        return "0+checkout"


def build() -> str:
    """Names the compiled module by its content, in 32 hexadecimal digits; empty when there is none.

    Two builds of one version differ, and the same file installed twice does not.
    """
    import hashlib
    from importlib import util

    found = util.find_spec("tidegate._engine")
    if found is None or found.origin is None:
        return ""
    with open(found.origin, "rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
    return digest.hexdigest()
