// SPDX-License-Identifier: Apache-2.0
use crate::watch::watch;
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Descriptors one frame may carry. The kernel's own limit is 253.
pub const MAX_DESCRIPTORS: usize = 200;
/// Bytes one frame may have.
pub const MAX_FRAME: usize = 64 << 20;

/// One message of the control protocol.
#[derive(Debug)]
pub struct Frame {
    /// The JSON text.
    pub bytes: Vec<u8>,
    /// The descriptors that came with it, in order.
    pub descriptors: Vec<OwnedFd>,
}

/// A Unix stream socket that carries frames: four bytes of length, most significant first, then as
/// many bytes of JSON. Descriptors travel with the frame's first byte.
#[derive(Debug)]
pub struct FrameSocket {
    fd: AsyncFd<OwnedFd>,
    received: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

impl FrameSocket {
    /// Takes a connected Unix stream socket.
    ///
    /// # Errors
    /// When it cannot be made non-blocking or watched.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        let fd = watch(fd, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            fd,
            received: Vec::new(),
            descriptors: Vec::new(),
        })
    }

    /// The next frame; `None` when the peer has closed between frames. Dropping the future loses
    /// nothing.
    ///
    /// # Errors
    /// `InvalidData` for a frame over [`MAX_FRAME`], `UnexpectedEof` for a cut one.
    pub async fn receive(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(bytes) = self.take_frame()? {
                return Ok(Some(Frame {
                    bytes,
                    descriptors: std::mem::take(&mut self.descriptors),
                }));
            }
            if self.receive_some().await? == 0 {
                return match self.received.is_empty() {
                    true => Ok(None),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }

    fn take_frame(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some((head, rest)) = self.received.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*head) as usize;
        if length > MAX_FRAME {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a frame over 64 MiB",
            ));
        }
        let Some(frame) = rest.get(..length) else {
            return Ok(None);
        };
        let frame = frame.to_vec();
        self.received.drain(..4 + length);
        Ok(Some(frame))
    }

    async fn receive_some(&mut self) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut chunk = vec![0u8; 64 << 10];
        loop {
            let mut guard = self.fd.readable().await?;
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let outcome = rustix::net::recvmsg(
                self.fd.get_ref(),
                &mut [IoSliceMut::new(&mut chunk)],
                &mut ancillary,
                RecvFlags::CMSG_CLOEXEC,
            );
            match outcome {
                Ok(message) => {
                    for part in ancillary.drain() {
                        if let RecvAncillaryMessage::ScmRights(descriptors) = part {
                            self.descriptors.extend(descriptors);
                        }
                    }
                    self.received
                        .extend_from_slice(chunk.get(..message.bytes).unwrap_or_default());
                    return Ok(message.bytes);
                }
                Err(Errno::AGAIN) => guard.clear_ready(),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sends one frame with at most [`MAX_DESCRIPTORS`] descriptors.
    ///
    /// Not to be dropped half-way: the peer would see a cut frame.
    ///
    /// # Errors
    /// `InvalidInput` for too many descriptors or too long a frame; the kernel's otherwise.
    pub async fn send(&self, json: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        if descriptors.len() > MAX_DESCRIPTORS || json.len() > MAX_FRAME {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut bytes = Vec::with_capacity(4 + json.len());
        bytes.extend_from_slice(&(json.len() as u32).to_be_bytes());
        bytes.extend_from_slice(json);
        let mut sent = 0;
        while sent < bytes.len() {
            let mut guard = self.fd.writable().await?;
            let rest = bytes.get(sent..).unwrap_or_default();
            let with = if sent == 0 { descriptors } else { &[] };
            match send_part(self.fd.get_ref(), rest, with) {
                Ok(count) => sent += count,
                Err(Errno::AGAIN) => guard.clear_ready(),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn send_part(fd: &OwnedFd, bytes: &[u8], with: &[BorrowedFd<'_>]) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !with.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(with)) {
        return Err(Errno::INVAL);
    }
    rustix::net::sendmsg(
        fd,
        &[IoSlice::new(bytes)],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )
}
