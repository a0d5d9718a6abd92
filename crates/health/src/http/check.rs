// SPDX-License-Identifier: Apache-2.0
use super::Settings;
use crate::host::host;
use crate::pace::{Pace, delegate_pace, pace};
use tidegate_contract::{Check, Expected, Heard, Probe, Verdict};
use tidegate_request::{FieldId, Options, Parts, Request, Scheme, Storage, Version};

/// Sends one request on a connection of its own and looks at the status, and at the body if told to.
///
/// Never printed: its fields may be secret.
#[derive(Clone)]
pub struct HttpCheck {
    pace: Pace,
    method: String,
    /// Path and query.
    target: String,
    host: Option<String>,
    /// Lines of the fields that were configured, each with its end.
    fields: String,
    statuses: Vec<u16>,
    body: Option<Expected>,
}

impl HttpCheck {
    /// The check for these settings.
    ///
    /// # Errors
    /// A time or count is 0, `statuses` is empty, or method, path, host and fields make no request that
    /// tidegate would take itself.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        Self::read(settings).map_err(|error| format!("http: {error}"))
    }

    fn read(settings: &Settings) -> Result<Self, String> {
        if settings.statuses.is_empty() {
            return Err(
                "`statuses` is empty; write those that count as well, such as `[200]`".into(),
            );
        }
        check_request(settings)?;
        let mut fields = String::new();
        for name in ["user-agent", "accept"] {
            let is_own = |(other, _): &&(String, _)| other.eq_ignore_ascii_case(name);
            if settings.headers.iter().find(is_own).is_none() {
                fields.push_str(match name {
                    "accept" => "Accept: */*\r\n",
                    _ => "User-Agent: tidegate-health\r\n",
                });
            }
        }
        for (name, value) in &settings.headers {
            fields.push_str(&format!("{name}: {}\r\n", value.reveal()));
        }
        Ok(Self {
            pace: pace!(settings)?,
            method: settings.method.clone(),
            target: settings.path.clone(),
            host: settings.host.clone(),
            fields,
            statuses: settings.statuses.clone(),
            body: settings.body.as_ref().map(|text| Expected {
                text: text.clone().into_bytes(),
                within: usize::try_from(settings.body_within.0).unwrap_or(usize::MAX),
            }),
        })
    }
}

/// Lets the canonical request judge the parts, so that a probe can never be two requests.
fn check_request(settings: &Settings) -> Result<(), String> {
    let Settings {
        path,
        host,
        method,
        headers,
        ..
    } = settings;
    if !path.starts_with('/') {
        return Err(format!(
            "`path` is `{}`; write one that begins with `/`",
            path.escape_debug()
        ));
    }
    let mut storage = Storage::new();
    let host = host.as_deref().unwrap_or("endpoint");
    let added = storage.fields_mut().append(b"host", host.as_bytes());
    added.map_err(|error| {
        format!(
            "`host` is {}; write a name such as `shop.example.com`",
            error.text()
        )
    })?;
    for (name, value) in headers {
        let id = FieldId::recognise(name.as_bytes());
        let is_framing = matches!(
            id,
            FieldId::Host
                | FieldId::ContentLength
                | FieldId::TransferEncoding
                | FieldId::Connection
        );
        let fields = storage.fields_mut();
        let added = fields.append(name.as_bytes(), value.reveal().as_bytes());
        if is_framing || added.is_err() {
            return Err(format!(
                "`headers` cannot have `{}` like this; leave it out",
                name.escape_debug()
            ));
        }
    }
    let parts = Parts {
        method: method.as_bytes(),
        target: path.as_bytes(),
        version: Version::Http11,
        scheme: Scheme::Http,
    };
    match Request::build(storage, parts, Options::default()) {
        Ok(_) => Ok(()),
        Err((reject, _)) => Err(format!(
            "`method`, `path` and `host` make no request: {}; write others",
            reject.detail
        )),
    }
}

impl Check for HttpCheck {
    delegate_pace!();

    /// A request in HTTP/1.1 that asks for the connection to be closed after it.
    fn probe(&self, address: &str) -> Probe {
        let host = host(self.host.as_deref(), address);
        // RFC 9110 §8.6: methods whose requests usually have content say that there is none.
        let length = match self.method.as_str() {
            "POST" | "PUT" | "PATCH" => "Content-Length: 0\r\n",
            _ => "",
        };
        let Self {
            method,
            target,
            fields,
            ..
        } = self;
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: {host}\r\n{fields}{length}Connection: close\r\n\r\n"
        );
        Probe::Http {
            bytes: head.into_bytes(),
            is_head: self.method == "HEAD",
            body: self.body.clone(),
        }
    }

    fn judge(&self, heard: Heard<'_>) -> Verdict {
        let Heard::Response { status, body } = heard else {
            return Verdict::Unhealthy("it did not answer".into());
        };
        if !self.statuses.contains(&status) {
            return Verdict::Unhealthy(format!("it answered with status {status}"));
        }
        match &self.body {
            Some(expected) if !expected.is_in(body) => Verdict::Unhealthy(format!(
                "the expected text is not in the first {} bytes of its answer",
                expected.within
            )),
            _ => Verdict::Healthy,
        }
    }
}
