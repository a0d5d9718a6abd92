# SPDX-License-Identifier: Apache-2.0
"""Resources that only `compile.py` writes: no user sees these models, the node reads them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from tidegate.config.backend import Backend, Endpoint
from tidegate.config.backend_tls import BackendTls
from tidegate.config.base import Model
from tidegate.config.clients import ClientCertificates
from tidegate.config.function import FunctionKind
from tidegate.config.gateway_settings import GatewaySettings
from tidegate.config.l4 import TcpRoute
from tidegate.config.listener import Listener
from tidegate.config.secure import ListenerRedirect
from tidegate.config.tls import Certificate, ListenerTls
from tidegate.config.types import (
    ByteSize,
    Choice,
    Duration,
    FieldName,
    FileContent,
    FilePath,
    Flag,
    HostPattern,
    Port,
    QueryName,
    RouteName,
    Text,
)


class GatewayWire(GatewaySettings):
    """What concerns the whole gateway."""

    rust_name: ClassVar[str] = "GatewaySettings"

    redact_query: list[QueryName]
    """Query parameters whose values are shown nowhere: in the log, in spans, by `tidegate why`."""
    redact_fields: list[FieldName]
    """Fields whose values are shown nowhere either."""


class CertificateWire(Certificate):
    """A certificate and its private key, in PEM."""

    rust_name: ClassVar[str] = "Certificate"

    cert_name: Text
    """What messages call the certificate."""
    key_name: Text
    """What messages call the key."""
    ocsp: FileContent | None
    """What its authority says of it (RFC 6960): DER in base64 without padding."""
    ocsp_until: Annotated[int, Field(ge=0, le=1 << 53, strict=True)]
    """Until when that may be shown, in seconds since 1970."""


class ClientCertificatesWire(ClientCertificates):
    """Which certificates clients show (mutual TLS)."""

    rust_name: ClassVar[str] = "ClientCertificates"

    ca: Text
    """Authorities whose certificates are believed, in PEM; empty where none are asked for."""
    crl: list[Text]
    """Lists of revoked certificates, in PEM."""
    ca_name: Text
    """What messages call the file of the authorities."""
    crl_names: list[Text]
    """What messages call the file of each list."""


class ListenerTlsWire(ListenerTls):
    """How a listener speaks TLS. The first certificate is for clients that name no host."""

    rust_name: ClassVar[str] = "ListenerTls"

    certificates: list[CertificateWire]  # type: ignore[assignment]
    """Of those for a name the first whose kind the client knows is shown."""
    awaited: list[HostPattern]
    """Names whose certificate is not there yet: until then who asks for one is refused."""
    client_certificates: list[ClientCertificatesWire]  # type: ignore[assignment]
    """Which certificates clients show; one entry for all, or several by `hosts`."""


class ListenerRedirectWire(ListenerRedirect):
    """Where requests go that no route of the listener's own takes."""

    rust_name: ClassVar[str] = "ListenerRedirect"

    port: Port
    """The port in the new URL."""


class ListenerWire(Listener):
    """Address, port and protocol where connections are accepted."""

    rust_name: ClassVar[str] = "Listener"

    tls: ListenerTlsWire | None = None
    """How TLS is spoken."""
    redirect: ListenerRedirectWire | None = None
    """Whether clients are sent to HTTPS."""

    named_only: Flag = False
    """Whether routes that name no listener leave it alone: the one of tidegate's own pages."""


class BackendTlsWire(BackendTls):
    """How TLS is spoken to the endpoints of a backend. Their certificates are verified."""

    rust_name: ClassVar[str] = "BackendTls"

    certificate: CertificateWire | None = None
    """What endpoints are shown that ask who we are."""
    ca_name: Text
    """What messages call `ca`."""
    system: Text
    """How the system's store of authorities looked; empty where it is not used."""


class BackendWire(Backend):
    """Endpoints that stand for each other, and how they are used."""

    rust_name: ClassVar[str] = "Backend"

    tls: BackendTlsWire | None = None
    """How TLS is spoken to them; not at all without it."""

    start_wait: Duration | None
    """How long requests wait for the first endpoint of a backend that has lost its last; not at all without
    it."""


class EndpointWire(Endpoint):
    """One address of one running server."""

    rust_name: ClassVar[str] = "Endpoint"

    found_by: Text
    """Who named it: `configuration`, `operator`, `registration`, or a kind of discovery."""


Carried = Annotated[Literal["tcp", "tls", "udp"], Choice("Carried", doc="What a route of layer 4 carries.")]


class L4RouteWire(TcpRoute):
    """Which connections go where."""

    rust_name: ClassVar[str] = "L4Route"

    carries: Carried
    """What it carries."""
    hosts: list[HostPattern]
    """Hosts, one of which the client must ask for (SNI), `*.` for any labels in front; none asks for none."""
    responses: Annotated[int, Field(ge=0, le=1_000_000, strict=True)] | None
    """Datagrams by which an endpoint answers each of the client's."""


class RouteOrder(Model):
    """Every route's name, first the one written first: among equals the first one wins."""

    names: list[RouteName]
    """Each is the name of a route in the same snapshot."""
    l4: list[RouteName]
    """Those of connections, likewise."""


class FunctionWire(Model):
    """A policy, function or ASGI application that runs in function workers."""

    rust_name: ClassVar[str] = "Function"

    kind: FunctionKind
    """What it is."""
    workers: list[FilePath]
    """The Unix sockets its processes listen on."""
    deadline: Duration
    """How long one call may take."""
    pending: Duration
    """How long a call waits for a process that is ready and has room."""
    concurrency: Annotated[int, Field(ge=1, le=100_000, strict=True)]
    """Calls at a time per process."""
    max_body: ByteSize
    """The largest request body handed over."""
