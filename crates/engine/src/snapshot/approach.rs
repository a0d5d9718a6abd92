// SPDX-License-Identifier: Apache-2.0
//! TLS to the endpoints of a backend.
use super::registry::Registry;
use super::tls::{Shown, policy};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use tidegate_config::BackendTls;
use tidegate_core::Moment;
use tidegate_tls::{Approach, ApproachTerms, Authorities, Certificate, Fault, Files, Reason};

/// Every one made so far has its number, so that a connection knows under which it was opened.
static MADE: AtomicU64 = AtomicU64::new(0);
/// How long the log is not told again of the same with the same endpoint, in milliseconds.
const AGAIN_MS: u64 = 60_000;
/// Endpoints of which it is remembered what was told, at most.
const MOST_TOLD: usize = 1000;

/// How TLS is spoken to a backend, ready to use.
pub(crate) struct ApproachPlan {
    /// What it was made from.
    pub(crate) config: BackendTls,
    pub(crate) approach: Approach,
    /// What endpoints are shown that ask.
    pub(crate) certificate: Option<Shown>,
    /// No other one has it; never 0.
    pub(crate) number: u64,
}

impl ApproachPlan {
    pub(super) fn build(config: &BackendTls, registry: &Registry) -> Result<Self, String> {
        let named = |message: String| format!("tls: {message}");
        let authorities = match &config.ca {
            _ if config.insecure_skip_verification => None,
            Some(text) => Some(Authorities::read(text, &config.ca_name).map_err(named)?),
            None => Some(registry.system_authorities(&config.system).map_err(named)?),
        };
        let certificate = match &config.certificate {
            Some(own) => {
                let files = Files {
                    cert: &own.cert,
                    cert_name: &own.cert_name,
                    key: own.key.reveal(),
                    key_name: &own.key_name,
                };
                Some(Certificate::read(files).map_err(named)?)
            }
            None => None,
        };
        let shown = certificate.as_ref().zip(config.certificate.as_ref());
        let shown = shown.map(|(certificate, own)| Shown {
            file: own.cert_name.clone(),
            names: certificate.names().to_vec(),
            validity: certificate.validity(),
        });
        let terms = ApproachTerms {
            authorities,
            names: config.subject_alt_names.clone(),
            certificate,
            policy: policy(config.policy),
        };
        Ok(Self {
            config: config.clone(),
            approach: Approach::new(terms).map_err(named)?,
            certificate: shown,
            number: MADE.fetch_add(1, Ordering::Relaxed) + 1,
        })
    }

    /// What the endpoint at `address` is asked for.
    pub(crate) fn name<'a>(&'a self, address: &'a str) -> &'a str {
        match &self.config.server_name {
            Some(name) => name,
            None => host(address),
        }
    }
}

/// The host in `host:port` or `[IPv6]:port`.
fn host(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    bare.unwrap_or(host)
}

/// What came of the handshakes with a backend's endpoints.
#[derive(Default)]
pub(crate) struct Handshakes {
    pub(crate) new: AtomicU64,
    pub(crate) resumed: AtomicU64,
    failed: [AtomicU64; Reason::ALL.len()],
    told: Mutex<Told>,
}

/// What the log is told of failures.
#[derive(Default)]
struct Told {
    /// By endpoint: of what it was told, and when.
    last: HashMap<String, (Reason, Moment)>,
    /// Endpoints, and what is to be told of them.
    waiting: Vec<(String, String)>,
}

impl Handshakes {
    /// Counts one that came to be.
    pub(crate) fn count(&self, is_resumed: bool) {
        let counter = match is_resumed {
            true => &self.resumed,
            false => &self.new,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one that failed.
    pub(crate) fn count_failed(&self, reason: Reason) {
        if let Some(counter) = self.failed.get(reason as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many failed, by reason.
    pub(crate) fn failed(&self) -> impl Iterator<Item = (Reason, u64)> {
        let counts = self.failed.iter().map(|each| each.load(Ordering::Relaxed));
        Reason::ALL.into_iter().zip(counts)
    }

    /// Has the log told of one that failed, unless it was lately.
    pub(crate) fn tell(&self, address: &str, fault: &Fault, now: Moment) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = told
            .last
            .get(address)
            .is_none_or(|(reason, at)| *reason != fault.reason || now > at.after_millis(AGAIN_MS));
        if is_news {
            if told.last.len() >= MOST_TOLD {
                told.last.clear();
            }
            told.last.insert(address.to_owned(), (fault.reason, now));
            told.waiting
                .push((address.to_owned(), fault.detail.clone()));
        }
    }

    /// What is to be told, once.
    pub(crate) fn take_told(&self) -> Vec<(String, String)> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut told.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::host;

    #[test]
    fn the_host_is_what_stands_before_the_port() {
        assert_eq!(host("api.internal:443"), "api.internal");
        assert_eq!(host("10.0.0.1:8443"), "10.0.0.1");
        assert_eq!(host("[2001:db8::1]:8443"), "2001:db8::1");
    }
}
