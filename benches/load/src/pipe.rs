// SPDX-License-Identifier: Apache-2.0
//! A connection of the client, in plain or inside of TLS.

use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::epoll::{self, EventFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore};

use crate::command::Plan;
use crate::shuttle::{Moved, Token, receive, transmit};

/// How a run's connections are secured.
pub struct Security {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Security {
    /// What `plan` asks for; `None` for plain connections.
    ///
    /// One key exchange and one cipher are offered, which every proxy has, so that all do the same work.
    ///
    /// # Errors
    /// The file with the authority's certificate cannot be read.
    pub fn of(plan: &Plan) -> std::io::Result<Option<Self>> {
        if plan.tls.is_empty() {
            return Ok(None);
        }
        let wrong = |error: &dyn std::fmt::Display| std::io::Error::other(error.to_string());
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_file(&plan.tls).map_err(|error| wrong(&error))?;
        roots.add(authority).map_err(|error| wrong(&error))?;
        let provider = CryptoProvider {
            cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
            kx_groups: vec![aws_lc_rs::kx_group::X25519],
            ..aws_lc_rs::default_provider()
        };
        let mut config = ClientConfig::builder_with_provider(provider.into())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| wrong(&error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = if plan.resume {
            // A ticket is good for one connection, and as many may be under way at a time.
            Resumption::in_memory_sessions(64)
        } else {
            Resumption::disabled()
        };
        config.alpn_protocols = vec![if plan.http3 {
            b"h3".to_vec()
        } else if plan.streams > 0 {
            b"h2".to_vec()
        } else {
            b"http/1.1".to_vec()
        }];
        let name = ServerName::try_from(plan.host.clone()).map_err(|error| wrong(&error))?;
        Ok(Some(Self {
            config: Arc::new(config),
            name,
        }))
    }

    /// For a protocol that has TLS within itself.
    #[must_use]
    pub fn config(&self) -> Arc<ClientConfig> {
        self.config.clone()
    }
}

/// One connection.
pub struct Pipe {
    socket: OwnedFd,
    session: Option<Box<ClientConnection>>,
}

impl Pipe {
    /// Opens one; false when it does not stand yet.
    ///
    /// # Errors
    /// When no socket can be had or the proxy refuses at once.
    pub fn open(
        poll: &OwnedFd,
        token: Token,
        plan: &Plan,
        security: Option<&Security>,
    ) -> std::io::Result<(Self, bool)> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let kind = if plan.datagrams {
            SocketType::DGRAM
        } else {
            SocketType::STREAM
        };
        let socket = rustix::net::socket_with(AddressFamily::INET, kind, flags, None)?;
        if !plan.datagrams {
            sockopt::set_tcp_nodelay(&socket, true)?;
        }
        let stands = match rustix::net::connect(&socket, &plan.target) {
            Ok(()) => true,
            Err(Errno::INPROGRESS) => false,
            Err(error) => return Err(error.into()),
        };
        let wanted = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(poll, socket.as_fd(), token.data(), wanted)?;
        Ok((Self::around(socket, security)?, stands))
    }

    /// A connection over a socket that is there.
    ///
    /// # Errors
    /// TLS refuses to begin.
    pub fn around(socket: OwnedFd, security: Option<&Security>) -> std::io::Result<Self> {
        let session = match security {
            None => None,
            Some(security) => {
                let made = ClientConnection::new(security.config.clone(), security.name.clone());
                Some(Box::new(made.map_err(std::io::Error::other)?))
            }
        };
        Ok(Self { socket, session })
    }

    /// Whether nothing has to come before content can be sent.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let session = self.session.as_ref();
        session.is_none_or(|session| !session.is_handshaking())
    }

    /// Reads until there is no more, or `buffer` is full.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Moved {
        let Some(session) = self.session.as_mut() else {
            return receive(&self.socket, buffer);
        };
        let mut at = 0;
        let ended = loop {
            match session
                .reader()
                .read(buffer.get_mut(at..).unwrap_or_default())
            {
                Ok(0) if at < buffer.len() => break Moved::End,
                Ok(count) => at += count,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                // The end without a word before.
                Err(_) => break Moved::End,
            }
            if at == buffer.len() {
                break Moved::Later;
            }
            match session.read_tls(&mut Ends(&self.socket)) {
                Ok(0) => break Moved::End,
                Ok(_) if session.process_new_packets().is_ok() => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break Moved::Later,
                _ => break Moved::Broken,
            }
        };
        if at > 0 { Moved::Bytes(at) } else { ended }
    }

    /// Takes from `bytes` and writes what can be written.
    pub fn transmit(&mut self, bytes: &[u8]) -> Moved {
        let Some(session) = self.session.as_mut() else {
            return transmit(&self.socket, bytes);
        };
        let taken = session.writer().write(bytes).unwrap_or(0);
        match self.flush() {
            Moved::Broken => Moved::Broken,
            _ if taken == 0 => Moved::Later,
            _ => Moved::Bytes(taken),
        }
    }

    /// Writes what TLS has to say, if anything.
    pub fn flush(&mut self) -> Moved {
        let Some(session) = self.session.as_mut() else {
            return Moved::Bytes(0);
        };
        while session.wants_write() {
            match session.write_tls(&mut Ends(&self.socket)) {
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    return Moved::Later;
                }
                Err(_) => return Moved::Broken,
            }
        }
        Moved::Bytes(0)
    }

    /// Whether TLS went on with a session of before.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        let session = self.session.as_ref();
        session.is_some_and(|session| session.handshake_kind() == Some(HandshakeKind::Resumed))
    }
}

impl AsFd for Pipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A socket as TLS reads and writes it.
struct Ends<'a>(&'a OwnedFd);

impl std::io::Read for Ends<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        outcome(receive(self.0, buffer))
    }
}

impl std::io::Write for Ends<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        outcome(transmit(self.0, bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn outcome(moved: Moved) -> std::io::Result<usize> {
    match moved {
        Moved::Bytes(count) => Ok(count),
        Moved::Later => Err(std::io::ErrorKind::WouldBlock.into()),
        Moved::End => Ok(0),
        Moved::Broken => Err(std::io::ErrorKind::BrokenPipe.into()),
    }
}
