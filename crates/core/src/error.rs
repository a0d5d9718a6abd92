// SPDX-License-Identifier: Apache-2.0

/// Where a failure came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client.
    Downstream,
    /// The endpoint.
    Upstream,
    /// tidegate itself: a limit, a policy, a configuration.
    Internal,
}

macro_rules! kinds {
    ($( $(#[$doc:meta])* $variant:ident = $name:literal, $status:literal, $side:ident; )*) => {
        /// What went wrong, in the words of RFC 9209 §2.3: the same word in the log, the metric and
        /// `Proxy-Status`. Kinds below "ours" have no word there.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum ErrorKind { $( $(#[$doc])* $variant, )* }

        impl ErrorKind {
            /// Every kind, in order of declaration.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )* ];

            /// The word of RFC 9209, or ours where it has none.
            pub fn name(self) -> &'static str {
                match self { $( Self::$variant => $name, )* }
            }

            /// The status a client gets for it unless the place that refuses says otherwise.
            pub fn status(self) -> u16 {
                match self { $( Self::$variant => $status, )* }
            }

            /// Whose doing it was.
            pub fn side(self) -> Side {
                match self { $( Self::$variant => Side::$side, )* }
            }
        }
    };
}

kinds! {
    /// No endpoint is left to try.
    DestinationUnavailable = "destination_unavailable", 503, Upstream;
    /// The name of the endpoint could not be resolved.
    DnsError = "dns_error", 502, Upstream;
    /// The endpoint refused the connection.
    ConnectionRefused = "connection_refused", 502, Upstream;
    /// The connection to the endpoint ended before the response was complete.
    ConnectionTerminated = "connection_terminated", 502, Upstream;
    /// Connecting took too long.
    ConnectionTimeout = "connection_timeout", 504, Upstream;
    /// The endpoint stopped reading what was sent.
    ConnectionWriteTimeout = "connection_write_timeout", 504, Upstream;
    /// The endpoint stopped in the middle of its response.
    ConnectionReadTimeout = "connection_read_timeout", 504, Upstream;
    /// A connection, pending or request limit was reached.
    ConnectionLimitReached = "connection_limit_reached", 503, Internal;
    /// There was no TLS with the endpoint, or it broke.
    TlsProtocolError = "tls_protocol_error", 502, Upstream;
    /// The endpoint's certificate is not to be trusted, or is another's.
    TlsCertificateError = "tls_certificate_error", 502, Upstream;
    /// The endpoint refused TLS by an alert.
    TlsAlertReceived = "tls_alert_received", 502, Upstream;
    /// The response's framing or fields were not HTTP.
    HttpProtocolError = "http_protocol_error", 502, Upstream;
    /// The response ended too early.
    HttpResponseIncomplete = "http_response_incomplete", 502, Upstream;
    /// The response's header section was too large.
    HttpResponseHeaderSectionSize = "http_response_header_section_size", 502, Upstream;
    /// The response's body was larger than allowed.
    HttpResponseBodySize = "http_response_body_size", 502, Upstream;
    /// The endpoint did not begin its response in time.
    HttpResponseTimeout = "http_response_timeout", 504, Upstream;
    /// The endpoint switched protocols although nobody asked, or to the wrong one.
    HttpUpgradeFailed = "http_upgrade_failed", 502, Upstream;
    /// The request was not HTTP, or ambiguous.
    HttpRequestError = "http_request_error", 400, Downstream;
    /// A policy refused the request.
    HttpRequestDenied = "http_request_denied", 403, Internal;
    /// No route takes the request, or the route has nothing to send it to.
    DestinationNotFound = "destination_not_found", 404, Internal;
    /// tidegate failed; a defect, or out of memory or descriptors.
    ProxyInternalError = "proxy_internal_error", 500, Internal;
    /// The configuration leads nowhere.
    ProxyConfigurationError = "proxy_configuration_error", 500, Internal;
    /// A request came back to where it had been.
    ProxyLoopDetected = "proxy_loop_detected", 508, Internal;
    // Ours.
    /// The client sent its header or body too slowly.
    RequestTimeout = "request_timeout", 408, Downstream;
    /// The request's body is larger than the listener or route allows.
    RequestBodySize = "request_body_size", 413, Downstream;
    /// The request's body is of a media type that the route does not take.
    MediaTypeUnsupported = "media_type_unsupported", 415, Downstream;
    /// The request's target is larger than the listener allows.
    RequestTargetSize = "request_target_size", 414, Downstream;
    /// The request's header section is larger or has more fields than the listener allows.
    RequestHeaderSize = "request_header_size", 431, Downstream;
    /// `Expect` asked for something else than `100-continue`.
    ExpectationFailed = "expectation_failed", 417, Downstream;
    /// A transfer coding other than `chunked`.
    TransferCodingUnsupported = "transfer_coding_unsupported", 501, Downstream;
    /// TRACE, or CONNECT on a listener that is no forward proxy.
    MethodNotAllowed = "method_not_allowed", 405, Downstream;
    /// HTTP/2.0 or another version on an HTTP/1 connection.
    VersionNotSupported = "http_version_not_supported", 505, Downstream;
    /// There was no TLS handshake with the client.
    TlsHandshakeError = "tls_handshake_error", 400, Downstream;
    /// The client speaks HTTP without TLS where TLS is spoken.
    TlsExpected = "tls_expected", 400, Downstream;
    /// The request is for a host that is served under other terms of TLS than its connection has.
    Misdirected = "misdirected_request", 421, Downstream;
    /// The client went away before the response was complete.
    ClientGone = "client_gone", 499, Downstream;
    /// The pending wait ended before an endpoint had room.
    PendingTimeout = "pending_timeout", 503, Internal;
    /// The whole exchange took longer than the route allows.
    RequestDeadline = "request_deadline", 504, Internal;
    /// A policy or function written in Python failed or broke off.
    FunctionError = "function_error", 502, Upstream;
    /// A policy or function written in Python passed its deadline.
    FunctionTimeout = "function_timeout", 504, Upstream;
    /// The node has too little memory left for what the request takes.
    MemoryLimitReached = "memory_limit_reached", 503, Internal;
    /// The route is in maintenance.
    Maintenance = "maintenance", 503, Internal;
    /// The node is stopping.
    Draining = "draining", 503, Internal;
}
