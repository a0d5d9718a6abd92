// SPDX-License-Identifier: Apache-2.0
//! Everything of the node that is not traffic: the control socket, taking snapshots, health
//! checks, name resolution, signals. One thread, one runtime.

mod affinity_key;
mod asking;
mod control;
mod datagrams;
mod documents;
mod drain;
mod health;
mod memory;
mod messages;
mod otlp;
mod otlp_metrics;
mod outliers;
mod resolve;
mod retries;
mod say;
mod state;
mod status;
#[cfg(test)]
mod tests;
mod top;
mod weights;
mod zones;

use crate::node::Node;
use crate::snapshot::Snapshot;
use crate::thread::Command;
pub(crate) use drain::Wish;
pub(crate) use say::{for_people, say, warn};
use state::Service;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use tokio::runtime::{Builder, LocalOptions};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::UnboundedSender;

/// Runs until the node has drained.
pub(crate) fn run(
    node: Arc<Node>,
    snapshot: Arc<Snapshot>,
    threads: Vec<UnboundedSender<Command>>,
    control: OwnedFd,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    runtime.block_on(async move {
        let service = Service::new(node, snapshot, threads);
        affinity_key::offer(&service);
        zones::restore(&service);
        let stop = SignalKind::terminate();
        let (mut stop, mut reopen) = (signal(stop)?, signal(SignalKind::user_defined1())?);
        // The supervisor decides what an interrupt from the terminal means.
        let _ignored = signal(SignalKind::interrupt())?;
        let listening = control::listen(service.clone(), control)?;
        tokio::task::spawn_local(listening);
        tokio::task::spawn_local(health::run(service.clone()));
        tokio::task::spawn_local(resolve::run(service.clone()));
        tokio::task::spawn_local(documents::run(service.clone()));
        tokio::task::spawn_local(outliers::run(service.clone()));
        tokio::task::spawn_local(outliers::tell(service.clone()));
        tokio::task::spawn_local(retries::run(service.clone()));
        tokio::task::spawn_local(memory::run(service.clone()));
        tokio::task::spawn_local(weights::run(service.clone()));
        tokio::task::spawn_local(otlp::run_traces(service.clone()));
        tokio::task::spawn_local(otlp::run_metrics(service.clone()));
        until_stopped(&service, &mut stop, &mut reopen).await;
        otlp::farewell(&service).await;
        Ok(())
    })
}

async fn until_stopped(service: &Rc<Service>, stop: &mut Signal, reopen: &mut Signal) {
    loop {
        let is_stop = std::future::poll_fn(|cx| {
            if stop.poll_recv(cx).is_ready() {
                return std::task::Poll::Ready(true);
            }
            reopen.poll_recv(cx).map(|_| false)
        });
        tokio::select! {
            is_stop = is_stop => match is_stop {
                true => return service.drain(Wish::stop(service.graceful_stop())).await,
                false => service.node.log.reopen(),
            },
            wish = service.drain.asked() => {
                service.drain(wish).await;
                return service.drain.farewell().await;
            }
        }
    }
}
