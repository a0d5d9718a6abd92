// SPDX-License-Identifier: Apache-2.0
//! The policies of a listener, a route and a backend, and the chain that they make.
use super::registry::Registry;
use crate::functions;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tidegate_config::PolicyUse;
use tidegate_contract::{Filter, Phases};
use tidegate_policies::Condition;

/// What became of exchanges at a policy. Outlives snapshots in the registry.
#[derive(Debug, Default)]
pub(crate) struct PolicyCounts {
    /// It gave the answer.
    pub(crate) answered: AtomicU64,
    /// It would have, and is only tried.
    pub(crate) would_answer: AtomicU64,
    /// It, or its condition, failed.
    pub(crate) failed: AtomicU64,
    /// Likewise, where it is only tried.
    pub(crate) would_fail: AtomicU64,
    /// How often it asked somebody.
    pub(crate) calls: AtomicU64,
    /// How long that took, in microseconds.
    pub(crate) micros: AtomicU64,
}

/// One policy, compiled.
pub(crate) struct FilterPlan {
    pub(crate) kind: Arc<str>,
    /// What it is called.
    pub(crate) name: Arc<str>,
    pub(crate) phases: Phases,
    pub(crate) filter: Arc<dyn Filter>,
    /// Under which it takes part.
    pub(crate) condition: Option<Condition>,
    /// It is only tried.
    pub(crate) shadow: bool,
    /// When it fails, the exchange goes on without it.
    pub(crate) continues: bool,
    pub(crate) counts: Arc<PolicyCounts>,
}

impl FilterPlan {
    fn build(own: &PolicyUse, registry: &Registry) -> Result<Self, String> {
        let filter = match own.kind.as_str() {
            // It runs in function workers, which only the engine knows.
            "python" => functions::build(own)?,
            _ => registry.filter(own)?,
        };
        let name = own.name.as_deref().unwrap_or(&own.kind);
        let phases = filter.phases();
        let condition = own.when.as_deref().map(Condition::new).transpose();
        let condition = condition.map_err(|error| format!("policy `{name}`: `when` {error}"))?;
        if phases.request
            && condition
                .as_ref()
                .is_some_and(|condition| condition.is_late)
        {
            return Err(format!(
                "policy `{name}`: `when` asks about the response, which is not there yet when it sees the request"
            ));
        }
        Ok(Self {
            kind: own.kind.as_str().into(),
            name: name.into(),
            phases,
            filter,
            condition,
            shadow: own.shadow,
            continues: own.continues,
            counts: registry.policy(name),
        })
    }
}

/// The policies of one scope.
#[derive(Default)]
pub(crate) struct Filters {
    own: Vec<Arc<FilterPlan>>,
    /// Names of policies around it that it takes away.
    without: Vec<Box<str>>,
}

/// One policy of a chain, for those who tell of it.
pub(crate) struct Placed {
    pub(crate) plan: Arc<FilterPlan>,
    /// The scope's place among those of the chain.
    pub(crate) scope: usize,
    /// Its place among those of its scope.
    pub(crate) index: usize,
    /// The scope that takes it away.
    pub(crate) without: Option<usize>,
}

impl Filters {
    pub(crate) fn build(uses: &[PolicyUse], registry: &Registry) -> Result<Self, String> {
        let mut made = Self::default();
        for each in uses {
            match (each.kind.as_str(), &each.name) {
                ("disable", Some(name)) => made.without.push(name.as_str().into()),
                _ => made.own.push(Arc::new(FilterPlan::build(each, registry)?)),
            }
        }
        Ok(made)
    }

    /// Whether one of them takes part in responses that report a failure on the way.
    pub(crate) fn tell_failures(&self) -> bool {
        self.own.iter().any(|plan| plan.phases.failures)
    }

    /// Whether one of those of nested scopes answers a browser that asks whether a page may ask.
    pub(crate) fn answer_questions(scopes: &[&Self]) -> bool {
        let has_some = |plan: &Arc<FilterPlan>| plan.phases.questions && !plan.shadow;
        scopes.iter().any(|scope| scope.own.iter().any(has_some))
            && Self::chain(scopes).iter().any(has_some)
    }

    /// Those of nested scopes, the outermost first, without what inner ones take away.
    pub(crate) fn chain(scopes: &[&Self]) -> Vec<Arc<FilterPlan>> {
        if scopes.iter().all(|scope| scope.without.is_empty()) {
            let mut all = Vec::with_capacity(scopes.iter().map(|scope| scope.own.len()).sum());
            scopes
                .iter()
                .for_each(|scope| all.extend_from_slice(&scope.own));
            return all;
        }
        let all = Self::placed(scopes).into_iter();
        all.filter(|each| each.without.is_none())
            .map(|each| each.plan)
            .collect()
    }

    /// All of them, with where they stand and who takes them away.
    pub(crate) fn placed(scopes: &[&Self]) -> Vec<Placed> {
        let mut all = Vec::new();
        for (scope, filters) in scopes.iter().enumerate() {
            for (index, plan) in filters.own.iter().enumerate() {
                let mut inner = scopes.iter().enumerate().skip(scope + 1);
                let without =
                    inner.find(|(_, inner)| inner.without.iter().any(|name| **name == *plan.name));
                all.push(Placed {
                    plan: plan.clone(),
                    scope,
                    index,
                    without: without.map(|(place, _)| place),
                });
            }
        }
        all
    }
}
