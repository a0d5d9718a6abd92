// SPDX-License-Identifier: Apache-2.0
use crate::Stream;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::task::ready;

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// An IP address and port.
    Ip(SocketAddr),
    /// A Unix socket's path.
    Unix(PathBuf),
}

/// Connects a stream socket; waits as long as the kernel does, so bound it from outside. Dropping
/// the future closes the attempt.
///
/// # Errors
/// The kernel's: refused, unreachable, out of descriptors, ...
pub async fn connect(target: &Target) -> io::Result<Stream> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (fd, started) = match target {
        Target::Ip(address) => {
            let family = if address.is_ipv4() {
                AddressFamily::INET
            } else {
                AddressFamily::INET6
            };
            let fd = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
            sockopt::set_tcp_nodelay(&fd, true)?;
            let started = rustix::net::connect(&fd, address);
            (fd, started)
        }
        Target::Unix(path) => {
            let fd =
                rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
            let started = rustix::net::connect(&fd, &SocketAddrUnix::new(path.as_path())?);
            (fd, started)
        }
    };
    let stream = Stream::new(fd);
    match started {
        Ok(()) => return Ok(stream),
        Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    poll_fn(|cx| {
        ready!(stream.poll_connected(cx))?;
        std::task::Poll::Ready(sockopt::socket_error(stream.as_fd()).map_err(io::Error::from))
    })
    .await?
    .map_err(io::Error::from)?;
    Ok(stream)
}
