// SPDX-License-Identifier: Apache-2.0
//! Sockets of UDP between the two nodes of an upgrade: one of them reads at a time.
use super::state::Service;
use crate::thread::Command;
use std::os::fd::OwnedFd;
use tokio::sync::oneshot;

impl Service {
    /// Leaves the sockets to another node; each thread goes on with what that brings by the way it is given
    /// here. One without a way reads until it drains.
    pub(super) async fn leave_datagrams(&self, ways: Vec<OwnedFd>) {
        self.tell(ways, Command::LeaveDatagrams).await;
    }

    /// Reads the sockets, and asks the node at the other ends of `ways` about packets that are unknown here.
    /// Without ways all that comes is this node's.
    pub(super) async fn take_datagrams(&self, ways: Vec<OwnedFd>) {
        let _turn = self.changing.lock().await;
        // Before the first packet.
        self.tell(ways, Command::TakeDatagrams).await;
        self.waits_for_datagrams.set(false);
        self.swap(&self.snapshot()).await;
    }

    async fn tell(
        &self,
        ways: Vec<OwnedFd>,
        command: impl Fn(OwnedFd, oneshot::Sender<()>) -> Command,
    ) {
        let mut waits = Vec::new();
        for (thread, way) in self.threads.iter().zip(ways) {
            let (done, wait) = oneshot::channel();
            if thread.send(command(way, done)).is_ok() {
                waits.push(wait);
            }
        }
        for wait in waits {
            let _ = wait.await;
        }
    }
}
