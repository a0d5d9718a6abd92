// SPDX-License-Identifier: Apache-2.0
//! The nodes before and after this one, as one thread knows them, and the packets of UDP that go between them.
//!
//! In an upgrade the new node reads all sockets. A packet that it has no connection or session for goes to its
//! *elder*, the node that drains, by a [`PacketPipe`] that each thread has one of. What that has none for either
//! comes back, and begins something new. An elder may have an elder of its own: it asks that first. The answers to
//! a client need no such way: both nodes have the socket.
use super::parcel::{LONGEST_HEAD, Parcel};
use super::{Origin, Thread};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use tidegate_net::PacketPipe;

/// Bytes of a train of packets.
const LONGEST_TRAIN: usize = 64 << 10;
/// Messages dealt with before others get their turn.
const BATCH: usize = 32;

/// The ways to other nodes.
#[derive(Default)]
pub(crate) struct Kin {
    /// To the node that this one has replaced, for as long as it drains.
    elder: RefCell<Option<Rc<PacketPipe>>>,
    /// To the node that has replaced this one.
    heir: RefCell<Option<Rc<PacketPipe>>>,
    has_left: Cell<bool>,
}

impl Kin {
    /// Whether another node reads this one's sockets.
    pub(crate) fn has_left(&self) -> bool {
        self.has_left.get()
    }

    /// Whether there is a node that what is unknown here may be for.
    pub(crate) fn has_elder(&self) -> bool {
        self.elder.borrow().is_some()
    }

    /// Asks the elder to take what is unknown here, which comes back if it is unknown there; false when there
    /// is nobody to ask, or nobody who would hear it.
    pub(crate) fn asks(&self, origin: Origin, parcel: &Parcel<'_>) -> bool {
        if origin == Origin::Elder {
            return false;
        }
        let elder = self.elder.borrow();
        elder.as_ref().is_some_and(|elder| send(elder, parcel))
    }

    /// Has another node deal with what is unknown here; false when it is for this one to begin something. What
    /// the way has no room for is lost: begun here it would be taken from who may know it.
    pub(crate) fn passes(&self, origin: Origin, parcel: &Parcel<'_>) -> bool {
        if origin != Origin::Elder
            && let Some(elder) = &*self.elder.borrow()
        {
            send(elder, parcel);
            return true;
        }
        if let Some(heir) = &*self.heir.borrow() {
            send(heir, parcel);
        }
        self.has_left.get()
    }
}

fn send(pipe: &PacketPipe, parcel: &Parcel<'_>) -> bool {
    let Some(head) = parcel.head() else {
        return false;
    };
    pipe.send(&head, parcel.bytes).is_ok()
}

impl Thread {
    /// Takes the way to the node that this one replaces.
    ///
    /// # Errors
    /// When it cannot be used: whoever that node has connections of begins anew then.
    pub(super) fn follow_elder(self: &Rc<Self>, fd: OwnedFd) -> io::Result<()> {
        let pipe = Rc::new(PacketPipe::new(fd)?);
        *self.kin.elder.borrow_mut() = Some(pipe.clone());
        let thread = self.clone();
        tokio::task::spawn_local(async move {
            listen(&thread, &pipe, |_| Origin::Elder).await;
            let mut elder = thread.kin.elder.borrow_mut();
            // Another one may have come meanwhile.
            elder.take_if(|known| Rc::ptr_eq(known, &pipe));
        });
        Ok(())
    }

    /// Leaves the sockets of UDP to the node that replaces this one, and goes on with what that sends here.
    ///
    /// # Errors
    /// When its way cannot be used; the sockets are as before.
    pub(super) fn leave_to_heir(self: &Rc<Self>, fd: OwnedFd) -> io::Result<()> {
        let pipe = Rc::new(PacketPipe::new(fd)?);
        *self.kin.heir.borrow_mut() = Some(pipe.clone());
        self.kin.has_left.set(true);
        self.ports.borrow().leave();
        self.gates.borrow().leave();
        let thread = self.clone();
        tokio::task::spawn_local(async move {
            let origin = |parcel: &Parcel<'_>| Origin::Heir {
                is_strict: parcel.is_strict,
            };
            listen(&thread, &pipe, origin).await;
            *thread.kin.heir.borrow_mut() = None;
            // Nobody brings packets any more.
            thread.ports.borrow_mut().keep(|_| false);
            thread.gates.borrow_mut().abandon();
        });
        Ok(())
    }
}

/// Deals with what another node sends until that is gone.
async fn listen(thread: &Rc<Thread>, pipe: &PacketPipe, origin: impl Fn(&Parcel<'_>) -> Origin) {
    let mut room = vec![0; LONGEST_HEAD + LONGEST_TRAIN];
    loop {
        for _ in 0..BATCH {
            let received = poll_fn(|cx| pipe.poll_receive(cx, &mut room)).await;
            let count = match received {
                Ok(0) | Err(_) => return,
                Ok(count) => count,
            };
            let Some(parcel) = room.get(..count).and_then(Parcel::read) else {
                continue;
            };
            thread.timers.look();
            let origin = origin(&parcel);
            let gate = thread.gates.borrow().find(parcel.key);
            if let Some(gate) = gate {
                gate.receive_from(origin, &parcel);
                continue;
            }
            let port = thread.ports.borrow().find(parcel.key);
            if let Some(port) = port {
                port.take(parcel.arrival, parcel.bytes, parcel.stride, origin);
            } else if let Origin::Heir { .. } = origin {
                // A listener that is new there.
                thread.kin.passes(origin, &parcel);
            }
        }
        tokio::task::yield_now().await;
    }
}
