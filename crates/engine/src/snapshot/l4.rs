// SPDX-License-Identifier: Apache-2.0
use super::apply::{Builder, ByName};
use super::backend::BackendPlan;
use super::plans::ListenerPlan;
use crate::l4::{L4RoutePlan, L4Table};
use std::collections::HashMap;
use std::sync::Arc;
use tidegate_config::{Kind, RouteOrder};

impl Builder<'_> {
    /// The routes of connections; those that did not change are the base's.
    pub(super) fn l4_routes(
        &mut self,
        order: &RouteOrder,
        listeners: &[Arc<ListenerPlan>],
        backends: &ByName<BackendPlan>,
    ) -> L4Table {
        let before: HashMap<&str, &Arc<L4RoutePlan>> = self
            .base
            .iter()
            .flat_map(|base| &base.l4.routes)
            .map(|plan| (&*plan.name, plan))
            .collect();
        let mut plans = Vec::with_capacity(order.l4.len());
        for name in &order.l4 {
            let key = (Kind::L4Route, name.clone());
            let Some(resource) = self.resources.get(&key).cloned() else {
                self.missing(Kind::L4Route, name);
                continue;
            };
            let plan = match before.get(name.as_str()) {
                Some(plan) if self.is_unchanged(&resource) => Arc::clone(plan),
                _ => {
                    let Some(config) = self.decode(&resource) else {
                        continue;
                    };
                    match L4RoutePlan::build(name, config, self.registry) {
                        Ok(plan) => Arc::new(plan),
                        Err(message) => {
                            self.fail::<()>(&resource, message);
                            continue;
                        }
                    }
                }
            };
            for (backend, _) in &plan.backends {
                if !backends.contains_key(backend) {
                    let message = format!("leads to backend `{backend}`, which is not there");
                    self.fail::<()>(&resource, message);
                }
            }
            for named in &plan.listeners {
                let mut own = listeners
                    .iter()
                    .filter(|listener| *listener.name == **named);
                if !own.any(|listener| listener.is_l4() || listener.is_mixed()) {
                    let message = format!(
                        "is on listener `{named}`, which is not there or takes no connections without requests"
                    );
                    self.fail::<()>(&resource, message);
                }
            }
            plans.push(plan);
        }
        L4Table::new(plans)
    }
}
