// SPDX-License-Identifier: Apache-2.0
//! TLS inside of QUIC (RFC 9001), for listeners: what a client is shown is chosen by its ClientHello, as
//! with connections of TCP.
use crate::session::{Told, choose, cipher};
use crate::shown::{Client, shown};
use crate::{Acceptance, ClientCertificates, Refusal};
use quinn_proto::crypto::rustls::QuicServerConfig;
use quinn_proto::crypto::{
    self, ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey, UnsupportedVersion,
};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectionId, Side, TransportError, TransportErrorCode};
use rustls::HandshakeKind;
use rustls::quic::{KeyChange, Secrets, ServerConnection, Version};
use rustls::server::Acceptor;
use std::any::Any;
use std::sync::{Arc, Mutex};

/// HTTP/3 by the name of ALPN (RFC 9114 §3.1).
pub(crate) const HTTP3: &[u8] = b"h3";
/// Version 1, RFC 9000.
pub const QUIC_VERSION: u32 = 1;
/// `unrecognized_name` (RFC 6066 §3), `handshake_failure` and `certificate_unknown` (RFC 8446 §6.2).
const UNRECOGNIZED_NAME: u8 = 112;
const HANDSHAKE_FAILURE: u8 = 40;
const CERTIFICATE_UNKNOWN: u8 = 46;
/// Bytes of a record that a ClientHello is put into to be read (RFC 8446 §5.1).
const RECORD: usize = 1 << 14;

/// What the handshake of a connection came to, as [`crypto::Session::handshake_data`] has it.
#[derive(Clone, Debug, Default)]
pub struct QuicHandshake {
    /// What was agreed on, once it was.
    pub told: Option<Told>,
    /// The host that the client wanted.
    pub server_name: Option<String>,
    /// What it was asked to show, and has shown.
    pub client: Option<Client>,
}

/// What a listener does with connections of QUIC.
pub struct QuicAcceptance {
    terms: Arc<Acceptance>,
    base: Arc<QuicServerConfig>,
}

impl QuicAcceptance {
    /// By the terms of a listener; `None` when they are not for QUIC.
    pub fn new(terms: Arc<Acceptance>) -> Option<Arc<Self>> {
        let base = terms.quic.clone()?;
        let base = Arc::new(QuicServerConfig::try_from(base).ok()?);
        Some(Arc::new(Self { terms, base }))
    }
}

impl crypto::ServerConfig for QuicAcceptance {
    fn initial_keys(&self, version: u32, id: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        self.base.initial_keys(version, id)
    }

    fn retry_tag(&self, version: u32, id: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.base.retry_tag(version, id, packet)
    }

    fn start_session(
        self: Arc<Self>,
        version: u32,
        parameters: &TransportParameters,
    ) -> Box<dyn crypto::Session> {
        let mut own = Vec::new();
        parameters.write(&mut own);
        Box::new(Session {
            version,
            terms: self,
            parameters: own,
            // Nobody else has it: the lock is for the type, which threads may share.
            acceptor: Mutex::default(),
            hello: Vec::new(),
            connection: None,
            secrets: None,
            asked: None,
            found: QuicHandshake::default(),
            is_told: false,
        })
    }
}

/// One connection's session.
struct Session {
    version: u32,
    terms: Arc<QuicAcceptance>,
    parameters: Vec<u8>,
    acceptor: Mutex<Acceptor>,
    /// The ClientHello, until it is whole.
    hello: Vec<u8>,
    connection: Option<ServerConnection>,
    secrets: Option<Secrets>,
    asked: Option<Arc<ClientCertificates>>,
    found: QuicHandshake,
    is_told: bool,
}

/// What a client is told that is turned away: an alert, and why by the name that the metrics have.
fn refused(alert: u8, refusal: Refusal) -> TransportError {
    TransportError {
        code: TransportErrorCode::crypto(alert),
        frame: None,
        reason: refusal.name().to_owned(),
    }
}

/// Why a client was turned away, by what it was told; `None` when it was not for TLS.
pub fn quic_refusal(error: &TransportError) -> Option<Refusal> {
    Refusal::ALL
        .into_iter()
        .find(|refusal| refusal.name() == error.reason)
}

impl Session {
    /// Takes more of the ClientHello; when it is whole, the session begins by what it asks for.
    fn greet(&mut self, bytes: &[u8]) -> Result<(), TransportError> {
        self.hello.extend_from_slice(bytes);
        let malformed = || refused(HANDSHAKE_FAILURE, Refusal::Malformed);
        let mut chosen = None;
        {
            let acceptor = self.acceptor.get_mut().map_err(|_| malformed())?;
            for piece in bytes.chunks(RECORD) {
                let length = (piece.len() as u16).to_be_bytes();
                let record = [&[22, 3, 1][..], &length, piece].concat();
                let mut rest = record.as_slice();
                while !rest.is_empty() {
                    acceptor.read_tls(&mut rest).map_err(|_| malformed())?;
                }
                match acceptor.accept() {
                    Ok(None) => {}
                    Ok(Some(accepted)) => {
                        let hello = accepted.client_hello();
                        self.found.server_name = hello.server_name().map(str::to_owned);
                        chosen = Some(choose(&hello, &self.terms.terms, true));
                        break;
                    }
                    Err((error, _)) => {
                        return Err(refused(HANDSHAKE_FAILURE, Refusal::of(&error)));
                    }
                }
            }
        }
        let (asked, config) = match chosen {
            None => return Ok(()),
            Some(Ok(chosen)) => chosen,
            Some(Err(refusal)) => return Err(refused(UNRECOGNIZED_NAME, refusal)),
        };
        self.asked = asked;
        let parameters = std::mem::take(&mut self.parameters);
        let connection = ServerConnection::new(config, Version::V1, parameters);
        let connection =
            connection.map_err(|error| refused(HANDSHAKE_FAILURE, Refusal::of(&error)))?;
        self.connection = Some(connection);
        let hello = std::mem::take(&mut self.hello);
        self.feed(&hello)
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<(), TransportError> {
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
        if let Err(error) = connection.read_hs(bytes) {
            let number = connection.alert().map_or(HANDSHAKE_FAILURE, u8::from);
            return Err(refused(number, Refusal::of(&error)));
        }
        if self.is_told || connection.is_handshaking() {
            return Ok(());
        }
        let is_resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
        if let Some(asked) = &self.asked {
            let chain = connection.peer_certificates().unwrap_or_default();
            let client = shown(chain, asked, is_resumed)
                .map_err(|refusal| refused(CERTIFICATE_UNKNOWN, refusal))?;
            self.found.client = Some(client);
        }
        self.found.told = Some(Told {
            version: "TLSv1.3",
            cipher: cipher(connection.negotiated_cipher_suite()),
            is_resumed,
            is_http2: false,
            is_challenge: false,
        });
        Ok(())
    }
}

impl crypto::Session for Session {
    fn initial_keys(&self, id: &ConnectionId, _side: Side) -> Keys {
        use crypto::ServerConfig;
        match self.terms.initial_keys(self.version, id) {
            Ok(keys) => keys,
            // It was asked for the same before the session began.
            Err(_) => unreachable!("a version that was taken before"),
        }
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        Some(Box::new(self.found.clone()))
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        None
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        None
    }

    fn early_data_accepted(&self) -> Option<bool> {
        None
    }

    fn is_handshaking(&self) -> bool {
        let connection = self.connection.as_ref();
        connection.is_none_or(|connection| connection.is_handshaking())
    }

    fn read_handshake(&mut self, bytes: &[u8]) -> Result<bool, TransportError> {
        match self.connection {
            None => self.greet(bytes)?,
            Some(_) => self.feed(bytes)?,
        }
        let is_new = self.found.told.is_some() && !self.is_told;
        self.is_told |= is_new;
        Ok(is_new)
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        let connection = self.connection.as_ref();
        let Some(bytes) = connection.and_then(|connection| connection.quic_transport_parameters())
        else {
            return Ok(None);
        };
        let mut rest = bytes;
        let read = TransportParameters::read(Side::Server, &mut rest);
        read.map(Some).map_err(TransportError::from)
    }

    fn write_handshake(&mut self, out: &mut Vec<u8>) -> Option<Keys> {
        let keys = match self.connection.as_mut()?.write_hs(out)? {
            KeyChange::Handshake { keys } => keys,
            KeyChange::OneRtt { keys, next } => {
                self.secrets = Some(next);
                keys
            }
        };
        Some(Keys {
            header: KeyPair {
                local: Box::new(keys.local.header),
                remote: Box::new(keys.remote.header),
            },
            packet: KeyPair {
                local: Box::new(keys.local.packet),
                remote: Box::new(keys.remote.packet),
            },
        })
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        let keys = self.secrets.as_mut()?.next_packet_keys();
        Some(KeyPair {
            local: Box::new(keys.local),
            remote: Box::new(keys.remote),
        })
    }

    fn is_valid_retry(&self, _id: &ConnectionId, _header: &[u8], _payload: &[u8]) -> bool {
        false // servers are sent none
    }

    fn export_keying_material(
        &self,
        _output: &mut [u8],
        _label: &[u8],
        _context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        Err(ExportKeyingMaterialError) // nobody asks
    }
}
