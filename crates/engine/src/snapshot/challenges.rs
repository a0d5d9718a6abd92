// SPDX-License-Identifier: Apache-2.0
use arc_swap::ArcSwap;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Arc;

/// What proves a host name by `http-01`.
#[derive(Deserialize)]
pub(crate) struct Proof {
    name: String,
    token: String,
    answer: String,
}

/// What proves a host name by `tls-alpn-01`.
#[derive(Deserialize)]
pub(crate) struct Shown {
    name: String,
    cert: String,
    key: String,
}

/// All proofs that are wanted at the moment, as control tells them.
#[derive(Deserialize)]
pub(crate) struct ChallengeSet {
    http: Vec<Proof>,
    tls: Vec<Shown>,
}

/// The proofs of host names, for all threads: they are no part of a snapshot, and none of the disk.
#[derive(Default)]
pub(crate) struct Challenges {
    /// Host name and answer by token.
    http: ArcSwap<HashMap<String, (String, Arc<str>)>>,
    pub(crate) tls: tidegate_tls::Challenges,
}

impl Challenges {
    /// Takes these instead of those before; they are there for every thread once it returns.
    ///
    /// # Errors
    /// A certificate does not do; nothing has changed then.
    pub(crate) fn set(&self, all: &ChallengeSet) -> Result<(), String> {
        let shown = all.tls.iter();
        self.tls
            .set(shown.map(|each| (each.name.as_str(), each.cert.as_str(), each.key.as_str())))?;
        let proofs = all.http.iter().map(|each| {
            let answer: Arc<str> = each.answer.as_str().into();
            (each.token.clone(), (each.name.to_ascii_lowercase(), answer))
        });
        self.http.store(Arc::new(proofs.collect()));
        Ok(())
    }

    /// The answer for a token, for the host that it was made for and no other.
    pub(crate) fn answer(&self, host: &str, token: &str) -> Option<Arc<str>> {
        let all = self.http.load();
        let (name, answer) = all.get(token)?;
        let host = host.strip_suffix('.').unwrap_or(host);
        name.eq_ignore_ascii_case(host).then(|| answer.clone())
    }
}
