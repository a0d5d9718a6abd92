// SPDX-License-Identifier: Apache-2.0
//! Endpoints given by name.
use super::state::Service;
use crate::snapshot::{BackendPlan, Snapshot};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tidegate_net::Target;

/// How long one look-up may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How often names are looked up again.
const AGAIN: Duration = Duration::from_secs(30);

fn is_name(address: &str) -> bool {
    !address.starts_with("unix:") && address.parse::<SocketAddr>().is_err()
}

/// Looks up every name of one backend; what fails keeps its last addresses.
async fn resolve(plan: Arc<BackendPlan>, only_missing: bool) {
    let list = plan.shared.list.load_full();
    for (endpoint, targets) in list.endpoints.iter().zip(&list.targets) {
        if !is_name(&endpoint.address) || (only_missing && !targets.load().is_empty()) {
            continue;
        }
        let look_up = tokio::net::lookup_host(endpoint.address.clone());
        if let Ok(Ok(found)) = tokio::time::timeout(TIMEOUT, look_up).await {
            let mut addresses: Vec<SocketAddr> = found.collect();
            // Servers on this machine mostly listen on 127.0.0.1; a refused ::1 costs a try.
            addresses.sort_by_key(SocketAddr::is_ipv6);
            addresses.dedup();
            let fresh: Vec<Target> = addresses.into_iter().map(Target::Ip).collect();
            if !fresh.is_empty() && **targets.load() != fresh {
                targets.store(Arc::new(fresh));
            }
        }
    }
}

/// Looks up the names of a new snapshot that have no address yet, all at once.
pub(crate) async fn settle(snapshot: &Snapshot) {
    let tasks: Vec<_> = snapshot
        .backends
        .values()
        .filter(|plan| {
            let list = plan.shared.list.load();
            let mut pairs = list.endpoints.iter().zip(&list.targets);
            pairs.any(|(endpoint, targets)| is_name(&endpoint.address) && targets.load().is_empty())
        })
        .map(|plan| tokio::task::spawn_local(resolve(plan.clone(), true)))
        .collect();
    for task in tasks {
        let _ = task.await;
    }
}

/// Looks all names up again from time to time.
pub(crate) async fn run(service: Rc<Service>) {
    loop {
        tokio::time::sleep(AGAIN).await;
        for plan in service.snapshot().backends.values() {
            resolve(plan.clone(), false).await;
        }
    }
}
