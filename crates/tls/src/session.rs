// SPDX-License-Identifier: Apache-2.0
use crate::acceptance::HTTP2;
use crate::challenges::PROTOCOL;
use crate::shown::{Client, shown};
use crate::{Acceptance, Approach, ClientCertificates, Fault, Inside, Refusal};
use rustls::server::{Acceptor, ClientHello};
use rustls::{
    Connection, Error, HandshakeKind, ProtocolVersion, ServerConfig, SupportedCipherSuite,
};
use std::io::{self, BufRead, Read, Write};
use std::sync::Arc;

/// The type of a record that begins a handshake (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;
/// The type of one that ends it.
const ALERT: u8 = 21;
/// A fatal alert `unrecognized_name` in a record (RFC 6066 §3).
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];
/// Plaintext taken at a time: four full records.
const MOST_TAKEN: usize = 64 << 10;

/// What was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// `TLSv1.3` or `TLSv1.2`.
    pub version: &'static str,
    /// As the IANA names it.
    pub cipher: &'static str,
    /// Whether an earlier session was taken up again.
    pub is_resumed: bool,
    /// Whether HTTP/2 was agreed on.
    pub is_http2: bool,
    /// Whether it was an authority that looked for its proof: nothing else is to be said.
    pub is_challenge: bool,
}

/// A connection that has not said what it wants.
#[derive(Default)]
pub struct Greeting {
    acceptor: Acceptor,
    /// Whether its first byte was looked at.
    has_begun: bool,
}

/// What more bytes of a greeting came to.
#[derive(Debug)]
enum Greeted {
    /// The ClientHello goes on.
    Partly,
    Whole(Box<Connection>, Option<Arc<ClientCertificates>>),
}

impl Greeting {
    /// Takes what the client has sent; an alert for the client goes to `out`.
    fn take(
        &mut self,
        mut bytes: &[u8],
        terms: &Acceptance,
        out: &mut Vec<u8>,
    ) -> Result<Greeted, Refusal> {
        if bytes.is_empty() {
            return Err(Refusal::Closed);
        }
        if !std::mem::replace(&mut self.has_begun, true)
            && let Some(first) = bytes.first().filter(|first| **first != HANDSHAKE)
        {
            // Methods begin with a letter; what else it may be is no use to guess.
            return Err(match first.is_ascii_alphabetic() {
                true => Refusal::PlainHttp,
                false => Refusal::NotTls,
            });
        }
        let mut accepted = None;
        while !bytes.is_empty() {
            if self.acceptor.read_tls(&mut bytes).is_err() {
                return Err(Refusal::Malformed);
            }
            match self.acceptor.accept() {
                Ok(None) => {}
                Ok(Some(found)) => {
                    accepted = Some(found);
                    break;
                }
                Err((error, mut alert)) => {
                    let _ = alert.write_all(out); // a vector takes all
                    return Err(Refusal::of(&error));
                }
            }
        }
        let Some(accepted) = accepted else {
            return Ok(Greeted::Partly);
        };
        let (asked, config) = match choose(&accepted.client_hello(), terms, false) {
            Ok(chosen) => chosen,
            Err(refusal) => {
                out.extend_from_slice(&UNRECOGNIZED_NAME);
                return Err(refusal);
            }
        };
        match accepted.into_connection(config) {
            Ok(mut connection) => {
                let mut rest = bytes;
                while !rest.is_empty() {
                    let taken = connection.read_tls(&mut rest);
                    if taken.is_err() {
                        return Err(Refusal::Malformed);
                    }
                }
                Ok(Greeted::Whole(Box::new(connection.into()), asked))
            }
            Err((error, mut alert)) => {
                let _ = alert.write_all(out);
                Err(Refusal::of(&error))
            }
        }
    }
}

/// What a client is asked to show, and how it is spoken with.
pub(crate) type Chosen = (Option<Arc<ClientCertificates>>, Arc<ServerConfig>);

/// What is asked of who said this, and shown to him, by TCP or QUIC.
pub(crate) fn choose(
    hello: &ClientHello<'_>,
    terms: &Acceptance,
    is_quic: bool,
) -> Result<Chosen, Refusal> {
    let name = hello.server_name();
    // Before all else: it comes for names that are served here only after it has.
    let mut wanted = hello.alpn().into_iter().flatten();
    if !is_quic
        && wanted.next() == Some(PROTOCOL)
        && wanted.next().is_none()
        && let Some(config) = terms.challenges.of(name)
    {
        return Ok((None, config));
    }
    if terms.awaits(name) {
        return Err(Refusal::AwaitedCertificate);
    }
    match terms.serves(name) {
        true => {
            let config = terms
                .config(name, is_quic)
                .ok_or(Refusal::NoSharedProtocol)?;
            Ok((terms.asked(name).cloned(), config.clone()))
        }
        false => Err(Refusal::UnknownName),
    }
}

enum State {
    Greeting(Box<Greeting>),
    Open(Box<Connection>),
}

/// One connection: what its socket brings goes in, what its socket is to send comes out.
pub struct Session {
    state: State,
    /// Bytes from the socket that wait until the plaintext before them has been read.
    waiting: Waiting,
    /// Plaintext that was taken by [`Session::take`] and is not handed to the kernel yet.
    taken: usize,
    /// How the peer broke the protocol, or that it ended the session by an alert.
    broken: Option<Error>,
    /// Whether an endpoint has sent something.
    has_heard: bool,
    told: Option<Told>,
    /// What the client was asked to show.
    asked: Option<Arc<ClientCertificates>>,
    client: Option<Client>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Session({:?})", self.told)
    }
}

impl Default for Session {
    fn default() -> Self {
        Self::new(State::Greeting(Box::default()))
    }
}

impl Session {
    fn new(state: State) -> Self {
        Self {
            state,
            waiting: Waiting::default(),
            taken: 0,
            broken: None,
            has_heard: false,
            told: None,
            asked: None,
            client: None,
        }
    }

    /// The session with the endpoint that is asked for by `name`, a host or an address: it begins with
    /// what [`Session::write_to`] has.
    ///
    /// # Errors
    /// `no_name`.
    pub fn with_endpoint(approach: &Approach, name: &str, inside: Inside) -> Result<Self, Fault> {
        let connection = approach.connection(name, inside)?;
        Ok(Self::new(State::Open(Box::new(connection.into()))))
    }

    /// What was agreed on; `None` before the handshake is over.
    pub fn told(&self) -> Option<Told> {
        self.told
    }

    /// What the client was asked to show and has shown; `None` where it was asked for nothing.
    pub fn client(&self) -> Option<&Client> {
        self.client.as_ref()
    }

    /// Notes what the client was found to be by what is asked now.
    pub fn set_client(&mut self, client: Option<Client>) {
        self.client = client;
    }

    /// The name that the client wanted.
    pub fn server_name(&self) -> Option<&str> {
        match &self.state {
            State::Greeting(_) => None,
            State::Open(connection) => match &**connection {
                Connection::Server(connection) => connection.server_name(),
                Connection::Client(_) => None,
            },
        }
    }

    /// The protocol that was chosen by ALPN.
    pub fn protocol(&self) -> Option<&[u8]> {
        match &self.state {
            State::Greeting(_) => None,
            State::Open(connection) => connection.alpn_protocol(),
        }
    }

    /// Takes what the socket brought during the handshake, nothing at its end. An alert for a
    /// client that is refused goes to `out`.
    ///
    /// # Errors
    /// Why there will be no connection; what [`Session::write_to`] still has should be sent.
    pub fn greet(
        &mut self,
        bytes: &[u8],
        terms: &Acceptance,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let more = match &mut self.state {
            State::Greeting(greeting) => match greeting.take(bytes, terms, out)? {
                Greeted::Partly => return Ok(()),
                Greeted::Whole(connection, asked) => {
                    self.state = State::Open(connection);
                    self.asked = asked;
                    &[]
                }
            },
            State::Open(_) if bytes.is_empty() => return Err(Refusal::Closed),
            State::Open(_) => bytes,
        };
        self.shake(more).map_err(|error| Refusal::of(&error))?;
        if let (Some(told), Some(asked), State::Open(connection)) =
            (self.told, &self.asked, &self.state)
        {
            // Nothing was agreed on with somebody who does not stand.
            self.told = None;
            let chain = connection.peer_certificates().unwrap_or_default();
            self.client = Some(shown(chain, asked, told.is_resumed)?);
            self.told = Some(told);
        }
        Ok(())
    }

    /// Takes what an endpoint sent during the handshake, nothing at its end.
    ///
    /// # Errors
    /// Why there will be no connection; what [`Session::write_to`] still has should be sent.
    pub fn answered(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let Some(first) = bytes.first() else {
            return Err(Fault::closed());
        };
        if !std::mem::replace(&mut self.has_heard, true) && ![HANDSHAKE, ALERT].contains(first) {
            return Err(Fault::not_tls(*first));
        }
        self.shake(bytes).map_err(|error| Fault::of(&error))
    }

    /// Goes on with the handshake.
    fn shake(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let State::Open(connection) = &mut self.state else {
            return Ok(());
        };
        let outcome = feed(connection, bytes, &mut self.waiting).and_then(|()| process(connection));
        if let Err(error) = &outcome {
            self.broken = Some(error.clone());
        } else if !connection.is_handshaking() {
            self.told = Some(told(connection));
        }
        outcome
    }

    /// How the endpoint broke the session, or that it ended it by an alert.
    pub fn fault(&self) -> Option<Fault> {
        self.broken.as_ref().map(Fault::of)
    }

    /// Takes what the socket brought, nothing at its end. What is wrong with it is told by
    /// [`Session::read`].
    pub fn feed(&mut self, bytes: &[u8]) {
        let State::Open(connection) = &mut self.state else {
            return;
        };
        if bytes.is_empty() {
            let _ = connection.read_tls(&mut io::empty()); // it notes the end
        }
        if let Err(error) = feed(connection, bytes, &mut self.waiting) {
            self.broken = Some(error);
        }
    }

    /// Reads plaintext; `Ok(0)` is the end that the client has sent as such.
    ///
    /// # Errors
    /// `WouldBlock` when more has to come, `UnexpectedEof` when the end came without being said, so
    /// that what is missing cannot be known (RFC 8446 §6.1), `InvalidData` for what is not TLS.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let State::Open(connection) = &mut self.state else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let outcome = connection.reader().read(buffer);
        if !self.waiting.bytes.is_empty()
            && let Err(error) = feed(connection, &[], &mut self.waiting)
        {
            self.broken = Some(error);
        }
        match outcome {
            Err(error) if self.broken.is_some() && error.kind() == io::ErrorKind::WouldBlock => {
                Err(io::ErrorKind::InvalidData.into())
            }
            outcome => outcome,
        }
    }

    /// Whether [`Session::read`] has something to say.
    pub fn is_readable(&mut self) -> bool {
        let State::Open(connection) = &mut self.state else {
            return false;
        };
        let would_block = |error: io::Error| error.kind() == io::ErrorKind::WouldBlock;
        self.broken.is_some() || !connection.reader().fill_buf().is_err_and(would_block)
    }

    /// Takes plaintext to be sent, unless what was taken before is still on its way.
    ///
    /// # Errors
    /// When the session is over, or other bytes are given than those that were taken.
    pub fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        let State::Open(connection) = &mut self.state else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        if self.taken == 0 {
            let piece = bytes.get(..MOST_TAKEN).unwrap_or(bytes);
            self.taken = connection.writer().write(piece)?;
        }
        match self.taken > bytes.len() {
            true => Err(io::ErrorKind::InvalidInput.into()),
            false => Ok(()),
        }
    }

    /// How much plaintext was taken and is not told yet as sent.
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// All of what was taken is with the kernel: how much that was.
    pub fn sent(&mut self) -> usize {
        std::mem::take(&mut self.taken)
    }

    /// Whether there is something for the socket.
    pub fn wants_write(&self) -> bool {
        match &self.state {
            State::Greeting(_) => false,
            State::Open(connection) => connection.wants_write(),
        }
    }

    /// Writes what there is for the socket.
    ///
    /// # Errors
    /// Those of `socket`.
    pub fn write_to(&mut self, socket: &mut dyn Write) -> io::Result<usize> {
        match &mut self.state {
            State::Greeting(_) => Ok(0),
            State::Open(connection) => connection.write_tls(socket),
        }
    }

    /// Says that nothing more will be sent.
    pub fn close(&mut self) {
        if let State::Open(connection) = &mut self.state {
            connection.send_close_notify();
        }
    }
}

fn process(connection: &mut Connection) -> Result<(), Error> {
    connection.process_new_packets().map(drop)
}

/// Ciphertext that there was no room for: all but the first `fed` of `bytes`.
#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    fed: usize,
}

/// Decrypts `waiting` and then `bytes`; what there is no room for waits.
fn feed(connection: &mut Connection, bytes: &[u8], waiting: &mut Waiting) -> Result<(), Error> {
    if waiting.bytes.is_empty() {
        let mut rest = bytes;
        decrypt(connection, &mut rest)?;
        waiting.bytes.extend_from_slice(rest);
        return Ok(());
    }
    waiting.bytes.extend_from_slice(bytes);
    let mut rest = waiting.bytes.get(waiting.fed..).unwrap_or_default();
    decrypt(connection, &mut rest)?;
    waiting.fed = waiting.bytes.len() - rest.len();
    // Moved when it is the smaller half, so that little pieces do not move all of it again and again.
    if rest.len() <= waiting.fed {
        *waiting = Waiting {
            bytes: rest.to_vec(),
            fed: 0,
        };
    }
    Ok(())
}

fn decrypt(connection: &mut Connection, rest: &mut &[u8]) -> Result<(), Error> {
    while !rest.is_empty() {
        // It takes nothing while too much plaintext waits to be read.
        if connection.read_tls(rest).is_err() {
            break;
        }
        process(connection)?;
    }
    Ok(())
}

/// The name that the IANA gave a cipher suite.
pub(crate) fn cipher(suite: Option<SupportedCipherSuite>) -> &'static str {
    let name = suite.and_then(|suite| suite.suite().as_str());
    match name.unwrap_or_default() {
        // The library tells versions apart where the IANA does not.
        "TLS13_AES_128_GCM_SHA256" => "TLS_AES_128_GCM_SHA256",
        "TLS13_AES_256_GCM_SHA384" => "TLS_AES_256_GCM_SHA384",
        "TLS13_CHACHA20_POLY1305_SHA256" => "TLS_CHACHA20_POLY1305_SHA256",
        other => other,
    }
}

fn told(connection: &Connection) -> Told {
    Told {
        version: match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLSv1.3",
        },
        cipher: cipher(connection.negotiated_cipher_suite()),
        is_challenge: connection.alpn_protocol() == Some(PROTOCOL),
        is_resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
        is_http2: connection.alpn_protocol() == Some(HTTP2),
    }
}
