// SPDX-License-Identifier: Apache-2.0
//! A piece of a response's content, as the client gets it, and why the rest may be missing.
use crate::web::{Outgoing, Passed};
use tidegate_core::ErrorKind;
use tidegate_http::encode_chunk_head;

/// Why the rest of a response never reached the client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    pub(crate) kind: ErrorKind,
    pub(crate) detail: &'static str,
    /// The endpoint's fault, as against the client's.
    pub(crate) is_fault: bool,
}

/// Appends content to `out`, framed for the client; returns how much it is as the client gets it.
pub(super) fn push(
    out: &mut Vec<u8>,
    is_chunked: bool,
    web: Option<&mut Outgoing>,
    data: &[u8],
) -> Result<u64, Cut> {
    let passed = web.map_or(Ok(Passed::AsItIs), |web| web.pass(data));
    let passed = passed.map_err(|detail| Cut {
        kind: ErrorKind::HttpProtocolError,
        detail,
        is_fault: true,
    })?;
    let data = match &passed {
        Passed::AsItIs => data,
        Passed::Encoded(text) => text,
    };
    if is_chunked && !data.is_empty() {
        encode_chunk_head(out, data.len());
    }
    out.extend_from_slice(data);
    if is_chunked && !data.is_empty() {
        out.extend_from_slice(b"\r\n");
    }
    Ok(data.len() as u64)
}

/// A reset never ends a body well, whatever the framing.
pub(super) fn cut_short() -> Cut {
    let detail = "the endpoint closed in the middle of its response";
    Cut {
        kind: ErrorKind::HttpResponseIncomplete,
        detail,
        is_fault: true,
    }
}

pub(super) fn client_gone() -> Cut {
    Cut {
        kind: ErrorKind::ClientGone,
        detail: "the client left",
        is_fault: false,
    }
}
