// SPDX-License-Identifier: Apache-2.0
//! Notes once a second how many requests each backend has had: retries are allowed by them.
use super::state::Service;
use std::rc::Rc;
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(1);

/// Notes for as long as the node runs.
pub(crate) async fn run(service: Rc<Service>) {
    loop {
        let now = service.node.clock.now();
        for plan in service.snapshot().backends.values() {
            plan.shared.note_requests(now);
        }
        tokio::time::sleep(EVERY).await;
    }
}
