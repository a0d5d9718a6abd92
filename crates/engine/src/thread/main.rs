// SPDX-License-Identifier: Apache-2.0
use super::accept::Doors;
use super::suspects::PAUSE;
use super::{Handed, Thread, Turns, packets, resting, turns};
use crate::functions;
use crate::node::Node;
use crate::service::Wish;
use crate::snapshot::Snapshot;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot};

/// How often idle connections are looked through and the log is handed over.
const HOUSEKEEPING: Duration = Duration::from_millis(200);

/// Files that a thread has read from disks at a time.
const BLOCKING: usize = 8;

/// What the service thread tells a thread.
pub(crate) enum Command {
    /// A new snapshot, and the sockets of this thread by listener key. Answered once it is in force.
    Swap(Arc<Snapshot>, Vec<(String, OwnedFd)>, oneshot::Sender<()>),
    /// Hand over what has gathered in the log. Answered when done.
    FlushLog(oneshot::Sender<()>),
    /// Give back memory that is not in use.
    Spare,
    /// Answered with the bytes each connection holds, greatest first.
    Holders(oneshot::Sender<Vec<u32>>),
    /// End as many of the connections that hold most.
    EndLargest(usize),
    /// Accept nothing more, close what stays idle, finish the rest. Answered when all is finished.
    Drain(Wish, oneshot::Sender<()>),
    /// Leave the sockets of UDP to another node, which brings by this way what is not its own. Answered when
    /// they are left.
    LeaveDatagrams(OwnedFd, oneshot::Sender<()>),
    /// Ask the node at the other end of this way about packets that are unknown. Answered when that is done.
    TakeDatagrams(OwnedFd, oneshot::Sender<()>),
    /// Say what can be said: soon everything is cut.
    Leave,
}

/// Runs one thread until the command channel closes.
///
/// # Errors
/// When the runtime cannot be made.
pub(crate) fn run(
    index: usize,
    node: Arc<Node>,
    snapshot: Arc<Snapshot>,
    commands: mpsc::UnboundedReceiver<Command>,
    handed: mpsc::Receiver<Handed>,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .event_interval(31)
        // They read cold files from disks.
        .max_blocking_threads(BLOCKING)
        .build_local(LocalOptions::default())?;
    let thread = Thread::new(index, node, snapshot);
    runtime.block_on(serve(thread, commands, handed));
    Ok(())
}

async fn serve(
    thread: Rc<Thread>,
    mut commands: mpsc::UnboundedReceiver<Command>,
    handed: mpsc::Receiver<Handed>,
) {
    functions::enter(&thread);
    tokio::task::spawn_local(thread.timers.clone().run());
    for turns in [
        (|thread| &thread.turns) as fn(&Thread) -> &Turns,
        |thread| &thread.handshakes,
        |thread| &thread.busy,
        |thread| &thread.heads,
    ] {
        tokio::task::spawn_local(turns::give(thread.clone(), turns, Duration::ZERO));
    }
    let suspects = turns::give(thread.clone(), |thread| &thread.suspects.line, PAUSE);
    tokio::task::spawn_local(suspects);
    tokio::task::spawn_local(packets::take_over(thread.clone(), handed));
    tokio::task::spawn_local(housekeeping(thread.clone()));
    if thread.resting.open().is_ok() {
        tokio::task::spawn_local(resting::listen(thread.clone()));
    }
    let mut doors = Doors::default();
    while let Some(command) = commands.recv().await {
        match command {
            Command::Swap(snapshot, sockets, done) => {
                let lost_one = has_lost_listener(&thread.current().snapshot, &snapshot);
                thread.swap(snapshot);
                functions::dial();
                if lost_one {
                    // Connections that came by it close as soon as they are idle.
                    thread.wake_all();
                }
                if !thread.is_draining.get() {
                    doors.reconcile(&thread, sockets);
                }
                let _ = done.send(());
            }
            Command::FlushLog(done) => {
                thread.flush_log();
                let _ = done.send(());
            }
            Command::Spare => thread.spare(),
            Command::Holders(done) => drop(done.send(thread.holders.sizes())),
            Command::EndLargest(count) => {
                let ended = thread.holders.end(count) as u64;
                thread.stats.count_many(|stats| &stats.ended, ended);
            }
            // Without the way it goes on as it is until it drains, and begins anew what the elder has.
            Command::LeaveDatagrams(way, done) => {
                let _ = thread.leave_to_heir(way);
                let _ = done.send(());
            }
            Command::TakeDatagrams(way, done) => {
                let _ = thread.follow_elder(way);
                let _ = done.send(());
            }
            Command::Leave => {
                thread.leaves.set(true);
                thread.wake_all();
            }
            Command::Drain(wish, done) => {
                thread.is_draining.set(true);
                doors.close(&thread, wish.has_heir);
                tokio::task::spawn_local(close_idle(thread.clone(), wish.idle));
                tokio::task::spawn_local(finish(thread.clone(), done));
            }
        }
    }
}

fn has_lost_listener(old: &Snapshot, new: &Snapshot) -> bool {
    let stays = |name: &str| new.listeners.iter().any(|plan| &*plan.name == name);
    !old.listeners.iter().all(|plan| stays(&plan.name))
}

/// A request may be on its way on any kept connection: closed at once, it would be lost. Each
/// answer from now on says that it is the last; what is still silent after `idle` is closed.
async fn close_idle(thread: Rc<Thread>, idle: Duration) {
    tokio::time::sleep(idle).await;
    thread.closes_idle.set(true);
    thread.wake_all();
}

async fn finish(thread: Rc<Thread>, done: oneshot::Sender<()>) {
    // While another node brings packets, a client that moves may have its next session on any thread. What the
    // node has whose place this one took is reached by way of this one.
    let kin = &thread.kin;
    let is_awaited =
        || kin.has_left() && (kin.has_elder() || thread.node.registry.connections() > 0);
    while thread.connections.get() > 0 || is_awaited() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    thread.pool.clear();
    thread.links.clear();
    thread.flush_log();
    let _ = done.send(());
}

async fn housekeeping(thread: Rc<Thread>) {
    let mut turns = 0u32;
    loop {
        tokio::time::sleep(HOUSEKEEPING).await;
        thread.flush_log();
        turns = turns.wrapping_add(1);
        if turns.is_multiple_of(5) {
            thread.pool.sweep(thread.now());
            thread.links.sweep();
            thread.resting.sweep(thread.now());
            thread.sweep_files();
        }
    }
}
