# SPDX-License-Identifier: Apache-2.0
"""The types a model's field may have: a closed list, known to `compile.py` and to `tools/generate.py`.

Besides these: `bool`, `int` with bounds, `Literal` of texts, `list`, `dict[str, T]`, models, unions of
models by `type`, and any of them or `None`. The generator stops on anything else.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from tidegate.config import addresses, conditions, names, patterns
from tidegate.config.marks import Choice, ControlOnly, MaySecret, Reference, Rule
from tidegate.config.secret import Secret
from tidegate.config.units import ByteSize, Duration

Name = Annotated[str, Rule(names.name, "name", r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$")]
RouteName = Annotated[str, Rule(names.route_name, "1 to 200 printable characters")]
BackendRef = Annotated[str, Rule(names.reference, "name of a backend"), Reference("backend")]
FunctionRef = Annotated[str, Rule(names.name, "name of a function"), Reference("function")]
ListenerRef = Annotated[str, Rule(names.name, "name of a listener"), Reference("listener")]

ListenerAddress = Annotated[str, Rule(addresses.listener_address, "IP address or `unix:/path`")]
IpAddress = Annotated[str, Rule(addresses.ip_address, "IP address")]
Network = Annotated[str, Rule(addresses.network, "network or address")]
EndpointAddress = Annotated[
    str, Rule(addresses.endpoint_address, "`IP:port`, `[IPv6]:port`, `name:port`, `unix:/path`")
]
Origin = Annotated[str, Rule(addresses.origin, "`https://name`, `https://*.name`, or `same`")]
CorsOrigin = Annotated[str, Rule(addresses.cors_origin, "`https://name`, `https://*.name`, or `*`")]
HostPattern = Annotated[str, Rule(addresses.host_pattern, "host, or `*.` and a host")]
Port = Annotated[int, Field(ge=1, le=65535, strict=True)]

MediaType = Annotated[str, Rule(names.media_type, "media type")]
MethodName = Annotated[str, Rule(names.method, "method")]
FieldName = Annotated[str, Rule(names.field_name, "field name")]
ChangeableFieldName = Annotated[str, Rule(names.changeable_field_name, "field name, none of framing")]
ChangeableRequestFieldName = Annotated[
    str, Rule(names.changeable_request_field_name, "field name, none of framing or forwarding")
]
FieldValue = Annotated[str, Rule(names.field_value, "field value")]
SecretFieldValue = Annotated[str | Secret, MaySecret(names.field_value, "field value")]
SecretText = Annotated[str | Secret, MaySecret(names.any_text, "text")]
"""Like the one above: what comes from `${...}` is never shown."""
Condition = Annotated[str, Rule(conditions.condition, "condition in CEL")]
RequestCondition = Annotated[str, Rule(conditions.request_condition, "condition in CEL on the request")]
CookieName = Annotated[str, Rule(names.token, "cookie name")]
QueryName = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=256)]

PathText = Annotated[str, Rule(patterns.path, "path", "^/")]
PathAndQuery = Annotated[str, Rule(patterns.path_and_query, "path, with or without a query", "^/")]
Handler = Annotated[
    str, Rule(names.handler, "`package.module:attribute`", r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$")
]
FilePath = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=4096)]
Flag = Annotated[bool, Field(strict=True)]
Weight = Annotated[int, Field(ge=0, le=1_000_000, strict=True)]
Text = Annotated[str, StringConstraints(strict=True, max_length=1 << 20)]
ProtocolName = Annotated[str, Rule(names.protocol_name, "protocol's name in ALPN", r"^[!-~]{1,255}$")]
"""A protocol inside of TLS: `imap`, `acme-tls/1` (RFC 7301)."""
FirstBytes = Annotated[str, Rule(names.first_bytes, "start of a connection", r"^.+$")]
"""What a connection begins with: printable characters of ASCII, or `hex:` and bytes (`hex:0300`)."""
WrittenBytes = Annotated[str, Rule(names.written_bytes, "bytes", r"^[\s\S]+$")]
"""1 to 1,024 bytes: text, or `hex:` and pairs of digits (`hex:0300`)."""
FileContent = Annotated[str, StringConstraints(strict=True, max_length=1 << 20)]
"""Text that is usually kept in a file of its own and written `${file:path}`."""

__all__ = [
    "BackendRef",
    "ByteSize",
    "ChangeableFieldName",
    "ChangeableRequestFieldName",
    "Choice",
    "Condition",
    "ControlOnly",
    "CookieName",
    "CorsOrigin",
    "Duration",
    "EndpointAddress",
    "FieldName",
    "FieldValue",
    "FileContent",
    "FilePath",
    "FirstBytes",
    "Flag",
    "FunctionRef",
    "Handler",
    "HostPattern",
    "IpAddress",
    "ListenerAddress",
    "ListenerRef",
    "MediaType",
    "MethodName",
    "Name",
    "Network",
    "Origin",
    "PathAndQuery",
    "PathText",
    "Port",
    "ProtocolName",
    "QueryName",
    "Reference",
    "RouteName",
    "Rule",
    "Secret",
    "SecretFieldValue",
    "SecretText",
    "Text",
    "Weight",
    "WrittenBytes",
]
