# SPDX-License-Identifier: Apache-2.0
"""Tells the service manager how things stand: the datagrams of sd_notify(3), without its library."""

import os
import socket
import time


class Notifier:
    """Sends to `NOTIFY_SOCKET`; does nothing when the variable is not set.

    The variable is taken out of the environment, so that no child speaks in our name.
    """

    def __init__(self, address: str | None = None, *, is_ready: bool = False) -> None:
        """Args:
        address: What NOTIFY_SOCKET was, after an upgrade; taken from the environment without it.
        is_ready: Whether `ready` was called by the supervisor before.
        """
        address = os.environ.pop("NOTIFY_SOCKET", "") if address is None else address
        self.address = address
        # A name that starts with @ is in the abstract namespace.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.is_ready = is_ready

    def ready(self, status: str) -> None:
        """The gateway serves (again)."""
        self.is_ready = True
        self._send(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """A reload has begun; `ready` ends it."""
        if self.is_ready:
            self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}\nSTATUS=reloading")

    def stopping(self) -> None:
        """The gateway drains and will end."""
        self._send("STOPPING=1\nSTATUS=draining")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={text}")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.settimeout(1)
                channel.sendto(text.encode(), self._address)
        except OSError:
            # A service manager that went away is no reason to stop serving.
            return
