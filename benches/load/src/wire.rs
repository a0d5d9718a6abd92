// SPDX-License-Identifier: Apache-2.0
//! Just enough of HTTP/1.1 to ask, answer and check; both peers are programs that the benchmark starts.

use memchr::memmem;
use tidegate_http2::{Allowance, Settings};

/// After so many bytes a body repeats: prime, so that a shifted or repeated part shows.
pub const CYCLE: usize = 251;

/// Bytes of a body.
#[must_use]
pub fn body(size: usize) -> Vec<u8> {
    (0..=250_u8).cycle().take(size).collect()
}

/// Bytes before the content of a message of gRPC.
pub const MESSAGE_HEAD: usize = 5;

/// A message of gRPC with so many bytes of content, not compressed.
#[must_use]
#[allow(clippy::cast_possible_truncation)] // Commands ask for less than 4 GiB.
pub fn unary(size: usize) -> Vec<u8> {
    let mut whole = vec![0];
    whole.extend_from_slice(&(size as u32).to_be_bytes());
    whole.extend_from_slice(&body(size));
    whole
}

/// Settings of HTTP/2 to a peer that is trusted: nothing that it sends is too often.
#[must_use]
pub fn trusting() -> Settings {
    let all = Allowance {
        burst: u32::MAX,
        per_second: 0,
    };
    Settings {
        glitches: all,
        client_resets: all,
        provoked_resets: all,
        ..Settings::default()
    }
}

/// A whole answer with a body of `size` bytes, as the origin server sends it.
#[must_use]
pub fn answer(size: usize) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nCache-Control: no-store\r\n\
         X-Origin: bench\r\nContent-Length: {size}\r\n\r\n"
    );
    let mut whole = head.into_bytes();
    whole.extend_from_slice(&body(size));
    whole
}

/// A whole request with the fields of an ordinary API client; with `sent` above 0 a POST with a body of so many bytes.
#[must_use]
pub fn request(host: &str, path: &str, close: bool, sent: usize) -> Vec<u8> {
    let connection = if close { "Connection: close\r\n" } else { "" };
    let (method, length) = match sent {
        0 => ("GET", String::new()),
        _ => ("POST", format!("Content-Length: {sent}\r\n")),
    };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: tidegate-load\r\nAccept: application/json\r\n\
         Accept-Encoding: identity\r\nX-Client: bench\r\n{length}{connection}\r\n"
    );
    let mut whole = head.into_bytes();
    whole.extend_from_slice(&body(sent));
    whole
}

/// Asks for a WebSocket (RFC 6455 §4.1), with the key of its example.
pub const SWITCH: &[u8] = b"GET /b/0 HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: tidegate-load\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// What the origin server says to that.
pub const SWITCHED: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// `content` as one message of a WebSocket (RFC 6455 §5.2); `masked`, by a key of zeros, as of a client.
#[must_use]
#[allow(clippy::cast_possible_truncation)] // Each length fits where it is written.
pub fn message(content: &[u8], masked: bool) -> Vec<u8> {
    let mut whole = vec![0x82];
    let mask = if masked { 0x80 } else { 0 };
    match content.len() {
        length @ ..126 => whole.push(mask | length as u8),
        length @ ..65_536 => {
            whole.push(mask | 126);
            whole.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            whole.push(mask | 127);
            whole.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    if masked {
        whole.extend_from_slice(&[0; 4]);
    }
    whole.extend_from_slice(content);
    whole
}

/// Bytes before the content of the message that `bytes` begin with, if so many are there.
#[must_use]
pub fn frame_head(bytes: &[u8]) -> Option<usize> {
    let second = *bytes.get(1)?;
    let length = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    Some(2 + length + if second & 0x80 == 0 { 0 } else { 4 })
}

/// What the origin server says to a request whose body is not the one that was sent.
pub const WRONG_BODY: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// The index after the head in `bytes`, if the head is whole.
#[must_use]
pub fn head_end(bytes: &[u8]) -> Option<usize> {
    memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4)
}

/// What the client must know of an answer's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerHead {
    /// Status code; 0 when the status line is not one.
    pub status: u16,
    /// `Content-Length`, if stated.
    pub length: Option<usize>,
    /// Whether the sender closes after this answer.
    pub close: bool,
}

/// Reads a whole answer head, `head` ending in the empty line.
#[must_use]
pub fn answer_head(head: &[u8]) -> AnswerHead {
    let mut lines = head
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = lines.next().unwrap_or_default();
    let status = first
        .strip_prefix(b"HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0);
    let mut found = AnswerHead {
        status,
        length: None,
        close: false,
    };
    for line in lines {
        if let Some(value) = field(line, b"content-length") {
            found.length = std::str::from_utf8(value)
                .ok()
                .and_then(|text| text.parse().ok());
        } else if let Some(value) = field(line, b"connection") {
            found.close = value.eq_ignore_ascii_case(b"close");
        }
    }
    found
}

/// What the origin server must know of a request's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// Bytes that the answer's body shall have.
    pub size: usize,
    /// Bytes of the request's body; `None` for a coding that this server does not read.
    pub length: Option<usize>,
    /// Whether it asks for a WebSocket.
    pub switches: bool,
}

/// Reads a whole request head.
#[must_use]
pub fn request_head(head: &[u8]) -> RequestHead {
    let mut length = Some(0);
    let mut switches = false;
    for line in head
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
    {
        if let Some(value) = field(line, b"content-length") {
            length = std::str::from_utf8(value)
                .ok()
                .and_then(|text| text.parse().ok());
        } else if field(line, b"transfer-encoding").is_some() {
            length = None;
        } else if field(line, b"upgrade").is_some() {
            switches = true;
        }
    }
    RequestHead {
        size: size_asked(head),
        length,
        switches,
    }
}

/// The size that a request's path asks for: the decimal number after its last slash, 0 if there is none.
#[must_use]
pub fn size_asked(head: &[u8]) -> usize {
    last_number(head.split(|byte| *byte == b' ').nth(1).unwrap_or_default())
}

/// The decimal number after the last slash of `path`, 0 if there is none.
#[must_use]
pub fn last_number(path: &[u8]) -> usize {
    let last = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    std::str::from_utf8(last)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

/// The value of `line` if its field name is `name` (lower case).
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (found, value) = line.split_at_checked(name.len())?;
    if !found.eq_ignore_ascii_case(name) {
        return None;
    }
    Some(value.strip_prefix(b":")?.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_back_as_it_was_written() {
        let whole = answer(300);
        let end = head_end(&whole).unwrap();
        let head = answer_head(&whole[..end]);
        assert_eq!(
            head,
            AnswerHead {
                status: 200,
                length: Some(300),
                close: false
            }
        );
        assert_eq!(&whole[end..], body(300));
    }

    #[test]
    fn field_names_are_read_in_any_case_and_other_names_are_not() {
        let head = answer_head(b"HTTP/1.1 503 Busy\r\ncontent-LENGTH:  7\r\nConnection: Close\r\nContent-Lengthy: 9\r\n\r\n");
        assert_eq!(
            head,
            AnswerHead {
                status: 503,
                length: Some(7),
                close: true
            }
        );
        assert_eq!(answer_head(b"garbage\r\n\r\n").status, 0);
    }

    #[test]
    fn the_path_names_the_size() {
        assert_eq!(size_asked(&request("a", "/r12/b/65536", false, 0)), 65536);
        assert_eq!(size_asked(&request("a", "/", true, 0)), 0);
    }

    #[test]
    fn a_message_tells_where_its_content_is() {
        for (size, head) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            for (masked, more) in [(false, 0), (true, 4)] {
                let whole = message(&body(size), masked);
                assert_eq!(frame_head(&whole), Some(head + more));
                assert_eq!(whole[head + more..], body(size));
            }
        }
    }

    #[test]
    fn a_request_head_tells_of_its_body() {
        let whole = request("a", "/b/128", false, 4096);
        let end = head_end(&whole).unwrap();
        assert_eq!(
            request_head(&whole[..end]),
            RequestHead {
                size: 128,
                length: Some(4096),
                switches: false
            }
        );
        assert_eq!(&whole[end..], body(4096));
        let get = request("a", "/b/1", true, 0);
        assert_eq!(request_head(&get).length, Some(0));
        assert!(request_head(SWITCH).switches);
        let chunked = b"POST /b/1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(request_head(chunked).length, None);
    }
}
