// SPDX-License-Identifier: Apache-2.0
use crate::connection::{self, Connection};
use crate::{Code, Error, Failure, varint};
use tidegate_core::Moment;
use tidegate_http2::sections::Section;

/// Interim responses that may come before the final one.
const INTERIM: u8 = 8;

/// What one call of [`RequestReader::read`] read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// Bytes of the input that are done with, those of the part among them. All of it without a part.
    pub consumed: usize,
    /// What came.
    pub part: Option<Part>,
}

/// What comes on a request's stream: to a server the request, to a client its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A request, or a response, final or interim: [`Connection::request`] or [`Connection::answer`] has it
    /// until the next section is read.
    Head,
    /// A request that is HTTP/3 but over a limit, to be answered with 431. For servers.
    Refused,
    /// Content: the bytes of the input from `start` to `end`, of which there is one at least.
    Content {
        /// The first.
        start: usize,
        /// Behind the last.
        end: usize,
    },
    /// Trailers: [`Connection::trailers`] has them until the next section is read.
    Trailers,
}

/// What must come next, RFC 9114 §4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Head,
    Content,
    /// The trailers were the last.
    Over,
}

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Request,
    /// To a HEAD or not, and how many interim ones came before.
    Response {
        is_head: bool,
        interim: u8,
    },
}

/// Where in a frame it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    /// So many bytes of a frame's type and length.
    Begun(usize),
    /// Bytes of a section that are to come.
    Section(u64),
    /// The same of one that is too long.
    Passed(u64),
    Data(u64),
    Unknown(u64),
}

/// Reads what comes on the stream of one request: the request, unless it is [`RequestReader::response`].
#[derive(Debug)]
pub struct RequestReader {
    kind: Kind,
    stage: Stage,
    frame: Frame,
    /// Type and length of a frame of which more is to come.
    begun: [u8; 16],
    /// A section of which more is to come.
    block: Vec<u8>,
    /// Content still to come as `content-length` said.
    expected: Option<u64>,
}

impl Default for RequestReader {
    fn default() -> Self {
        Self {
            kind: Kind::Request,
            stage: Stage::Head,
            frame: Frame::Begun(0),
            begun: [0; 16],
            block: Vec::new(),
            expected: None,
        }
    }
}

impl RequestReader {
    /// Reads the response to a request of ours, a HEAD or another one.
    pub fn response(is_head: bool) -> Self {
        Self {
            kind: Kind::Response {
                is_head,
                interim: 0,
            },
            ..Self::default()
        }
    }

    /// Bytes of memory held: a section of which more is to come.
    pub fn memory(&self) -> usize {
        self.block.capacity()
    }

    /// Reads up to the next part.
    ///
    /// # Errors
    /// What the peer did wrong, after which the stream or the connection is over.
    pub fn read(
        &mut self,
        connection: &mut Connection,
        now: Moment,
        input: &[u8],
    ) -> Result<Read, Failure> {
        let mut at = 0;
        while let Some(rest) = input.get(at..).filter(|rest| !rest.is_empty()) {
            let taken = |left: u64| rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let part = match self.frame {
                Frame::Begun(_) => {
                    at += self.begin(connection, now, rest)?;
                    // A section of no bytes is whole at once.
                    match self.frame {
                        Frame::Section(0) => self.section(connection)?,
                        _ => None,
                    }
                }
                Frame::Section(left) => {
                    let count = taken(left);
                    let piece = rest.get(..count).unwrap_or_default();
                    self.block.reserve_exact(count);
                    self.block.extend_from_slice(piece);
                    at += count;
                    self.frame = Frame::Section(left - count as u64);
                    match left == count as u64 {
                        true => self.section(connection)?,
                        false => None,
                    }
                }
                Frame::Passed(left) | Frame::Unknown(left) => {
                    let count = taken(left);
                    at += count;
                    let is_section = matches!(self.frame, Frame::Passed(_));
                    let is_whole = left == count as u64;
                    self.frame = match (is_whole, is_section) {
                        (true, _) => Frame::Begun(0),
                        (false, true) => Frame::Passed(left - count as u64),
                        (false, false) => Frame::Unknown(left - count as u64),
                    };
                    match is_whole && is_section {
                        true => self.over_limit()?,
                        false => None,
                    }
                }
                Frame::Data(left) => {
                    let count = taken(left);
                    let start = at;
                    at += count;
                    self.frame = match left - count as u64 {
                        0 => Frame::Begun(0),
                        left => Frame::Data(left),
                    };
                    Some(Part::Content { start, end: at })
                }
            };
            if part.is_some() {
                return Ok(Read { consumed: at, part });
            }
        }
        Ok(Read {
            consumed: at,
            part: None,
        })
    }

    /// The peer has ended the stream, and all that came before was read.
    ///
    /// # Errors
    /// When it ended within a frame, or before its message did.
    pub fn finish(&self) -> Result<(), Failure> {
        if self.frame != Frame::Begun(0) {
            let detail = "a stream that ends within a frame";
            return Err(Error::new(Code::FRAME_ERROR, detail).into());
        }
        if self.stage == Stage::Head && self.kind != Kind::Request {
            return Err(Failure::message("a stream that ends before its response"));
        }
        if self.stage == Stage::Head {
            let detail = "a stream that ends before its request";
            return Err(Failure::Stream(Error::new(
                Code::REQUEST_INCOMPLETE,
                detail,
            )));
        }
        match self.expected {
            Some(1..) => Err(Failure::message("content shorter than content-length")),
            _ => Ok(()),
        }
    }

    /// Type and length of a frame; how many bytes of `rest` they have.
    fn begin(
        &mut self,
        connection: &mut Connection,
        now: Moment,
        rest: &[u8],
    ) -> Result<usize, Failure> {
        let Frame::Begun(have) = self.frame else {
            return Ok(0);
        };
        let room = self.begun.get_mut(have..).unwrap_or_default();
        let count = room.len().min(rest.len());
        if let (Some(to), Some(from)) = (room.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        let known = self.begun.get(..have + count).unwrap_or_default();
        let read = varint::read(known).and_then(|(kind, first)| {
            let (length, second) = varint::read(known.get(first..)?)?;
            Some((kind, length, first + second))
        });
        let Some((kind, length, size)) = read else {
            self.frame = Frame::Begun(have + count);
            return Ok(count);
        };
        self.frame = self.judge(connection, now, kind, length)?;
        Ok(size - have)
    }

    fn judge(
        &mut self,
        connection: &mut Connection,
        now: Moment,
        kind: u64,
        length: u64,
    ) -> Result<Frame, Failure> {
        Ok(match kind {
            connection::DATA if self.stage != Stage::Content => {
                return Err(Failure::unexpected(
                    "DATA before HEADERS or behind trailers",
                ));
            }
            connection::DATA if length == 0 => {
                connection.glitch(now, 1)?;
                Frame::Begun(0)
            }
            connection::DATA => {
                self.count(length)?;
                Frame::Data(length)
            }
            connection::HEADERS if self.stage == Stage::Over => {
                return Err(Failure::unexpected("HEADERS behind trailers"));
            }
            connection::HEADERS if length > connection.settings.header_block as u64 => {
                Frame::Passed(length)
            }
            connection::HEADERS => {
                self.block.clear();
                Frame::Section(length)
            }
            connection::PUSH_PROMISE if self.kind != Kind::Request => {
                let detail = "a push that was not allowed";
                return Err(Error::new(Code::ID_ERROR, detail).into());
            }
            connection::CANCEL_PUSH
            | connection::SETTINGS
            | connection::PUSH_PROMISE
            | connection::GOAWAY
            | connection::MAX_PUSH_ID => {
                return Err(Failure::unexpected("a frame that no request's stream has"));
            }
            kind if connection::OF_HTTP2.contains(&kind) => {
                return Err(Failure::unexpected("a frame of HTTP/2"));
            }
            _ => {
                connection.glitch(now, 1)?;
                match length {
                    0 => Frame::Begun(0),
                    length => Frame::Unknown(length),
                }
            }
        })
    }

    /// A section is whole.
    fn section(&mut self, connection: &mut Connection) -> Result<Option<Part>, Failure> {
        self.frame = Frame::Begun(0);
        let block = std::mem::take(&mut self.block);
        let is_head = self.stage == Stage::Head;
        let section = match (is_head, self.kind) {
            (false, _) => Section::Trailers,
            (true, Kind::Request) => Section::Request,
            (true, Kind::Response { .. }) => Section::Response,
        };
        if !connection.section(&block, section)? {
            return self.over_limit();
        }
        if !is_head {
            self.stage = Stage::Over;
            return Ok(Some(Part::Trailers));
        }
        self.expected = match self.kind {
            Kind::Request => connection.content_length(),
            Kind::Response { is_head, interim } => {
                let status = connection.builder.status();
                if status < 200 {
                    return self.interim(status, is_head, interim);
                }
                // RFC 9110 §8.6: a length that is told and does not come.
                match is_head || matches!(status, 204 | 304) {
                    true => Some(0),
                    false => connection.content_length(),
                }
            }
        };
        self.stage = Stage::Content;
        Ok(Some(Part::Head))
    }

    /// A response before the final one; there is no 101 here (RFC 9114 §4.5).
    fn interim(
        &mut self,
        status: u16,
        is_head: bool,
        interim: u8,
    ) -> Result<Option<Part>, Failure> {
        if status == 101 || interim >= INTERIM {
            return Err(Failure::message("101, or too many interim responses"));
        }
        let interim = interim + 1;
        self.kind = Kind::Response { is_head, interim };
        Ok(Some(Part::Head))
    }

    fn over_limit(&mut self) -> Result<Option<Part>, Failure> {
        if self.stage != Stage::Head || self.kind != Kind::Request {
            let detail = "more or larger fields than allowed";
            return Err(Failure::Stream(Error::load(detail)));
        }
        self.stage = Stage::Content;
        Ok(Some(Part::Refused))
    }

    /// So much content is in a frame that begins.
    fn count(&mut self, bytes: u64) -> Result<(), Failure> {
        let Some(expected) = &mut self.expected else {
            return Ok(());
        };
        match expected.checked_sub(bytes) {
            Some(left) => *expected = left,
            None => return Err(Failure::message("content longer than content-length")),
        }
        Ok(())
    }
}
