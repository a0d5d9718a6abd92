// SPDX-License-Identifier: Apache-2.0
//! What the codec makes of bytes, without a connection: for tests and fuzzing.
use tidegate_http::{
    ChunkDecoder, Forwarding, HeadLimits, HeadScanner, encode_chunk_head, encode_last_chunk,
    encode_request, parse_request,
};
use tidegate_request::{Framing, Options, Reject, Request, Scheme};

/// The limits of a listener without settings (design defaults).
const LIMITS: HeadLimits = HeadLimits {
    header_size: 32 << 10,
    header_fields: 100,
    target_size: 8 << 10,
};

/// What the first message in some bytes is.
#[derive(Debug)]
pub enum Probed {
    /// The head is not complete.
    Incomplete,
    /// Refused, with status, kind and reason.
    Refused {
        /// Sent to the client.
        status: u16,
        /// The word of RFC 9209 or ours.
        kind: &'static str,
        /// For the log.
        detail: &'static str,
    },
    /// Taken.
    Accepted(Box<ProbedRequest>),
}

/// A request as the gateway understands it.
#[derive(Debug)]
pub struct ProbedRequest {
    /// Bytes of the whole message; `None` when its body is not complete.
    pub consumed: Option<usize>,
    /// As sent.
    pub method: String,
    /// Canonical.
    pub path: String,
    /// Raw.
    pub query: Option<Vec<u8>>,
    /// Canonical.
    pub host: Option<String>,
    /// As sent.
    pub port: Option<u16>,
    /// For the endpoint.
    pub authority: String,
    /// `http`.
    pub scheme: &'static str,
    /// `HTTP/1.0` or `HTTP/1.1`.
    pub version: &'static str,
    /// `none`, `length` or `chunked`.
    pub framing: &'static str,
    /// The announced length.
    pub length: Option<u64>,
    /// Whether the connection goes on.
    pub keep_alive: bool,
    /// The whole message as it would go to an endpoint.
    pub encoded: Vec<u8>,
}

/// Judges the first message of `bytes` as a listener with default settings would, for a client at
/// 127.0.0.1 that is not trusted.
pub fn probe(bytes: &[u8]) -> Probed {
    let end = match HeadScanner::new().scan(bytes, &LIMITS) {
        Ok(Some(end)) => end,
        Ok(None) => return Probed::Incomplete,
        Err(reject) => return refused(&reject),
    };
    let (head, body) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
    let options = Options {
        merge_slashes: true,
        is_trusted: false,
        is_proxy: false,
    };
    let request = match parse_request(head, Default::default(), &LIMITS, Scheme::Http, options) {
        Ok(request) => request,
        Err((reject, _)) => return refused(&reject),
    };
    match accepted(&request, end, body) {
        Ok(probed) => Probed::Accepted(Box::new(probed)),
        Err(reject) => refused(&reject),
    }
}

fn refused(reject: &Reject) -> Probed {
    Probed::Refused {
        status: reject.status(),
        kind: reject.kind.name(),
        detail: reject.detail,
    }
}

fn accepted(request: &Request, head: usize, body: &[u8]) -> Result<ProbedRequest, Reject> {
    let mut encoded = Vec::new();
    let forwarding = Forwarding {
        client: "127.0.0.1",
        pseudonym: "tidegate",
        is_anonymous: false,
        to_proxy: None,
        prefix: None,
        request_id: "00000000000000000000000000",
        framing: request.framing(),
        passes_expect: true,
    };
    encode_request(&mut encoded, request, &forwarding);
    let (framing, length, used) = match request.framing() {
        Framing::None => ("none", None, Some(0)),
        Framing::Length(length) => {
            let whole = usize::try_from(length)
                .ok()
                .and_then(|length| body.get(..length));
            encoded.extend_from_slice(whole.unwrap_or_default());
            ("length", Some(length), whole.map(<[u8]>::len))
        }
        Framing::Chunked => ("chunked", None, dechunk(body, &mut encoded)?),
    };
    Ok(ProbedRequest {
        consumed: used.map(|used| head + used),
        method: request.method().into(),
        path: request.path().into(),
        query: request.query().map(<[u8]>::to_vec),
        host: request.host().map(str::to_owned),
        port: request.port(),
        authority: request.authority().into(),
        scheme: request.scheme(),
        version: request.version().name(),
        framing,
        length,
        keep_alive: request.keep_alive(),
        encoded,
    })
}

/// Encodes the chunks of `body` anew; returns how many bytes they took, `None` without an end.
fn dechunk(body: &[u8], encoded: &mut Vec<u8>) -> Result<Option<usize>, Reject> {
    let mut decoder = ChunkDecoder::new(&LIMITS);
    let mut used = 0;
    loop {
        let rest = body.get(used..).unwrap_or_default();
        let decoded = decoder.decode(rest)?;
        let data = rest.get(decoded.data.clone()).unwrap_or_default();
        if !data.is_empty() {
            encode_chunk_head(encoded, data.len());
            encoded.extend_from_slice(data);
            encoded.extend_from_slice(b"\r\n");
        }
        used += decoded.consumed;
        if decoded.done {
            encode_last_chunk(encoded, &decoder.take_trailers());
            return Ok(Some(used));
        }
        if decoded.consumed == 0 {
            return Ok(None);
        }
    }
}
