# SPDX-License-Identifier: Apache-2.0
"""A small authoritative server on loopback, over UDP and TCP on one port, whose zone a test changes."""

import socket
import struct
import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


@dataclass
class Asked:
    """One question as it came."""

    name: str
    kind: str
    number: int
    port: int
    over_tcp: bool


@dataclass
class Nameserver:
    """Answers from `records` until told otherwise.

    Attributes:
        records: By name without its last dot and kind, TTL and texts.
        rcode: What every answer says instead, if it is set.
        is_silent: Whether it answers nothing.
        silent_for: Kinds of records of which it answers nothing.
        truncates: Whether answers over UDP are cut short, so that TCP has to be tried.
        asked: Every question.
    """

    records: dict[tuple[str, str], tuple[int, list[str]]] = field(default_factory=dict)
    rcode: int | None = None
    is_silent: bool = False
    silent_for: set[str] = field(default_factory=set)
    truncates: bool = False
    asked: list[Asked] = field(default_factory=list)

    def __post_init__(self) -> None:
        while True:
            self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._udp.bind(("127.0.0.1", 0))
            self.port = self._udp.getsockname()[1]
            try:
                self._tcp = socket.create_server(("127.0.0.1", self.port))
                break
            except OSError:
                self._udp.close()
        self._threads = [threading.Thread(target=self._serve_udp), threading.Thread(target=self._serve_tcp)]

    @property
    def address(self) -> str:
        """`IP:port`."""
        return f"127.0.0.1:{self.port}"

    def holds(self, name: str, *addresses: str, ttl: int = 60, kind: str = "A") -> None:
        """Sets what a name has of one kind; nothing at all takes it out."""
        if addresses:
            self.records[name, kind] = (ttl, list(addresses))
        else:
            self.records.pop((name, kind), None)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A datagram without a question ends the thread.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", self.port))
        self._tcp.shutdown(socket.SHUT_RDWR)
        self._tcp.close()
        for thread in self._threads:
            thread.join(10)
        self._udp.close()

    def _serve_udp(self) -> None:
        while True:
            data, peer = self._udp.recvfrom(4096)
            if not data:
                return
            answer = self._answer(data, peer[1], over_tcp=False)
            if answer is not None:
                self._udp.sendto(answer, peer)

    def _serve_tcp(self) -> None:
        while True:
            try:
                connection, peer = self._tcp.accept()
            except OSError:
                return
            with connection:
                head = connection.recv(2, socket.MSG_WAITALL)
                if len(head) < 2:
                    continue
                data = connection.recv(struct.unpack("!H", head)[0], socket.MSG_WAITALL)
                answer = self._answer(data, peer[1], over_tcp=True)
                if answer is not None:
                    connection.sendall(struct.pack("!H", len(answer)) + answer)

    def _answer(self, data: bytes, port: int, *, over_tcp: bool) -> bytes | None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)
        self.asked.append(Asked(name, kind, query.id, port, over_tcp))
        if self.is_silent or kind in self.silent_for:
            return None
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.AA
        if self.rcode is not None:
            reply.set_rcode(dns.rcode.Rcode(self.rcode))
        elif self.truncates and not over_tcp:
            reply.flags |= dns.flags.TC
        else:
            self._fill(reply, name, kind)
        return reply.to_wire()

    def _fill(self, reply: dns.message.Message, name: str, kind: str) -> None:
        # A name that stands for another is followed here, as resolvers do.
        while (alias := self.records.get((name, "CNAME"))) is not None:
            ttl, texts = alias
            reply.answer.append(dns.rrset.from_text(name + ".", ttl, "IN", "CNAME", *texts))
            name = texts[0].removesuffix(".")
        found = self.records.get((name, kind))
        if found is not None:
            ttl, texts = found
            reply.answer.append(dns.rrset.from_text(name + ".", ttl, "IN", kind, *texts))
        elif not any(known == name for known, _ in self.records):
            reply.set_rcode(dns.rcode.NXDOMAIN)
