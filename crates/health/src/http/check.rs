// SPDX-License-Identifier: Apache-2.0
use super::Settings;
use crate::pace::Pace;
use tidegate_contract::{Check, Probe, Verdict};
use tidegate_request::{Options, Parts, Request, Scheme, Storage, Version};

/// Sends one GET on a connection of its own and looks at the status.
#[derive(Clone, Debug)]
pub struct HttpCheck {
    pace: Pace,
    /// Path and query.
    target: String,
    host: Option<String>,
    statuses: Vec<u16>,
}

impl HttpCheck {
    /// The check for these settings.
    ///
    /// # Errors
    /// A time or count is 0, `statuses` is empty, or path and host make no request that tidegate
    /// would take itself.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        Self::read(settings).map_err(|error| format!("http: {error}"))
    }

    fn read(settings: &Settings) -> Result<Self, String> {
        let Settings {
            path,
            host,
            statuses,
            ..
        } = settings;
        let &Settings {
            interval,
            timeout,
            healthy_after,
            unhealthy_after,
            ..
        } = settings;
        if statuses.is_empty() {
            return Err(
                "`statuses` is empty; write those that count as well, such as `[200]`".into(),
            );
        }
        check_request(path, host.as_deref().unwrap_or("endpoint"))?;
        Ok(Self {
            pace: Pace {
                interval,
                timeout,
                healthy_after,
                unhealthy_after,
            }
            .checked()?,
            target: path.clone(),
            host: host.clone(),
            statuses: statuses.clone(),
        })
    }
}

/// Lets the canonical request judge path and host, so that a probe can never be two requests.
fn check_request(path: &str, host: &str) -> Result<(), String> {
    if !path.starts_with('/') {
        return Err(format!(
            "`path` is `{}`; write one that begins with `/`",
            path.escape_debug()
        ));
    }
    let mut storage = Storage::new();
    let added = storage.fields_mut().append(b"host", host.as_bytes());
    added.map_err(|error| {
        format!(
            "`host` is {}; write a name such as `shop.example.com`",
            error.text()
        )
    })?;
    let parts = Parts {
        method: b"GET",
        target: path.as_bytes(),
        version: Version::Http11,
        scheme: Scheme::Http,
    };
    match Request::build(storage, parts, Options::default()) {
        Ok(_) => Ok(()),
        Err((reject, _)) => Err(format!(
            "`path` and `host` make no request: {}; write others",
            reject.detail
        )),
    }
}

impl Check for HttpCheck {
    fn interval_ms(&self) -> u64 {
        self.pace.interval.0
    }

    fn timeout_ms(&self) -> u64 {
        self.pace.timeout.0
    }

    fn healthy_after(&self) -> u32 {
        self.pace.healthy_after.into()
    }

    fn unhealthy_after(&self) -> u32 {
        self.pace.unhealthy_after.into()
    }

    /// A request in HTTP/1.1 that asks for the connection to be closed after it.
    ///
    /// Without `host` in the settings it says the endpoint's address, and `localhost` to a Unix
    /// socket, which has no name that could stand there.
    fn probe(&self, address: &str) -> Probe {
        let is_name =
            !address.starts_with("unix:") && address.bytes().all(|byte| byte.is_ascii_graphic());
        let host = match &self.host {
            Some(host) => host,
            None if is_name => address,
            None => "localhost",
        };
        let head = format!(
            "GET {} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: tidegate-health\r\nAccept: */*\r\nConnection: close\r\n\r\n",
            self.target
        );
        Probe::Http {
            bytes: head.into_bytes(),
        }
    }

    fn judge(&self, status: Option<u16>) -> Verdict {
        match status {
            Some(status) if self.statuses.contains(&status) => Verdict::Healthy,
            Some(status) => Verdict::Unhealthy(format!("it answered with status {status}")),
            None => Verdict::Unhealthy("it did not answer".into()),
        }
    }
}
