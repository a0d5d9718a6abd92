// SPDX-License-Identifier: Apache-2.0
//! The system calls that rustix does not have.
use super::control::{Control, NAME, ROOM};
use rustix::net::addr::SocketAddrArg;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;

/// Messages taken by one call.
pub(super) const BATCH: usize = 8;

/// Bytes of one packet, or of a train of them that the kernel hands over as one.
pub(super) const LONGEST: usize = 64 << 10;

/// What the kernel says of one message.
#[derive(Clone, Copy)]
pub(super) struct Told {
    pub(super) name: [u8; NAME],
    pub(super) control: Control,
    pub(super) length: usize,
}

/// Takes the messages that are there, each into `LONGEST` bytes of `room`; who sent them only if `is_named`.
pub(super) fn receive(
    fd: &OwnedFd,
    is_named: bool,
    room: &mut [u8],
    told: &mut [Told; BATCH],
) -> io::Result<usize> {
    // SAFETY: they are plain numbers and pointers, which may all be zero.
    let mut headers: [libc::mmsghdr; BATCH] = unsafe { MaybeUninit::zeroed().assume_init() };
    let mut vectors = [libc::iovec {
        iov_base: ptr::null_mut(),
        iov_len: 0,
    }; BATCH];
    let mut most = 0;
    let places = headers.iter_mut().zip(&mut vectors);
    let rooms = room.chunks_exact_mut(LONGEST).zip(told.iter_mut());
    for ((header, vector), (room, told)) in places.zip(rooms) {
        vector.iov_base = room.as_mut_ptr().cast();
        vector.iov_len = room.len();
        let header = &mut header.msg_hdr;
        header.msg_iov = vector;
        header.msg_iovlen = 1;
        header.msg_control = told.control.bytes.as_mut_ptr().cast();
        header.msg_controllen = ROOM as _;
        if is_named {
            header.msg_name = told.name.as_mut_ptr().cast();
            header.msg_namelen = NAME as _;
        }
        most += 1;
    }
    let count = again(|| {
        // SAFETY: the first `most` headers have pointers into `vectors`, `room` and `told`, with the lengths of
        // what is there, and all of it is this function's alone until it ends.
        let count = unsafe {
            let (first, flags) = (headers.as_mut_ptr(), libc::MSG_DONTWAIT);
            libc::recvmmsg(fd.as_raw_fd(), first, most, flags as _, ptr::null_mut())
        };
        count as isize
    })?;
    for (header, told) in headers.iter().zip(told).take(count) {
        told.length = (header.msg_len as usize).min(LONGEST);
        // Its type is another one with each C library.
        let control: usize = header.msg_hdr.msg_controllen as _;
        told.control.length = control.min(ROOM);
    }
    Ok(count)
}

/// Sends one message; without `peer` to who the socket is connected to.
pub(super) fn send(
    fd: &OwnedFd,
    peer: Option<SocketAddr>,
    control: &mut Control,
    bytes: &[u8],
) -> io::Result<()> {
    let mut vector = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: it is plain numbers and pointers, which may all be zero.
    let mut header: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    header.msg_iov = &mut vector;
    header.msg_iovlen = 1;
    header.msg_control = control.bytes.as_mut_ptr().cast();
    header.msg_controllen = control.length as _;
    let call = |header: &libc::msghdr| {
        // SAFETY: the header has pointers to what outlives the call, with the lengths of what is there, and
        // the kernel only reads.
        again(|| unsafe { libc::sendmsg(fd.as_raw_fd(), header, libc::MSG_DONTWAIT) })
    };
    match peer {
        None => call(&header)?,
        // SAFETY: the pointer goes to the kernel with its length, within the closure.
        Some(peer) => unsafe {
            peer.with_sockaddr(|name, length| {
                header.msg_name = name.cast_mut().cast();
                header.msg_namelen = length;
                call(&header)
            })?
        },
    };
    Ok(())
}

/// Sets an option that is a number.
pub(super) fn set(fd: &OwnedFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    let length = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the kernel reads a number, which is there.
    let outcome = unsafe {
        let value = ptr::from_ref(&value).cast();
        libc::setsockopt(fd.as_raw_fd(), level, name, value, length)
    };
    match outcome {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn again(mut call: impl FnMut() -> isize) -> io::Result<usize> {
    loop {
        if let Ok(count) = usize::try_from(call()) {
            return Ok(count);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
