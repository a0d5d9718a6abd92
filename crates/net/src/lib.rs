// SPDX-License-Identifier: Apache-2.0
//! Sockets: listening descriptors, their passing between processes, byte streams and datagrams.
//!
//! One type, [`Stream`], for TCP and Unix connections: it issues its own system calls, so a read
//! that came back short spares the next one its `EAGAIN`. It goes through TLS where it has been told to
//! (`secured`), which whoever reads and writes does not notice; no other protocol is known here.

mod connect;
mod datagrams;
mod frames;
mod hello;
mod listener;
mod packet_pipe;
mod proxy;
mod quic;
mod resting;
mod secured;
mod stream;
mod watch;

pub use connect::{Target, connect};
pub use datagrams::{Arrival, Datagrams, Departure, Reception};
pub use frames::{Frame, FrameSocket, MAX_DESCRIPTORS, MAX_FRAME};
pub use hello::{Hello, HelloReader, LONGEST_HELLO, NoHello};
pub use listener::{Accepted, Listener, Peer, descriptor_limit};
pub use packet_pipe::PacketPipe;
pub use proxy::{Announced, LONGEST_PROXY_HEAD, NoProxyHead, ProxyHead, proxy_binary, proxy_line};
pub use quic::{InitialReader, LongHeader, LongKind, QuicId, Read, long_header};
pub use resting::RestingSet;
pub use secured::Secured;
pub use stream::{Stream, raise_descriptor_limit, set_not_dumpable};
