// SPDX-License-Identifier: Apache-2.0
use super::Settings;
use super::answer::{Serving, answer, question};
use crate::host::host;
use crate::pace::{Pace, delegate_pace, pace};
use tidegate_contract::{Check, Heard, Probe, Verdict};
use tidegate_core::GrpcCode;
use tidegate_request::Storage;

/// Of an answer; one is of 7 bytes, more where a server adds fields of its own.
const WITHIN: usize = 4 << 10;

/// Calls `grpc.health.v1.Health/Check` on a connection of its own.
#[derive(Clone, Debug)]
pub struct GrpcCheck {
    pace: Pace,
    /// Empty asks for the server as a whole.
    service: String,
    host: Option<String>,
}

impl GrpcCheck {
    /// The check for these settings.
    ///
    /// # Errors
    /// A time or count is 0, or `host` can stand in no request.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        if let Some(host) = &settings.host {
            let mut storage = Storage::new();
            let added = storage.fields_mut().append(b"host", host.as_bytes());
            added.map_err(|error| {
                format!(
                    "grpc: `host` is {}; write a name such as `shop.example.com`",
                    error.text()
                )
            })?;
        }
        Ok(Self {
            pace: pace!(settings).map_err(|error| format!("grpc: {error}"))?,
            service: settings.service.clone().unwrap_or_default(),
            host: settings.host.clone(),
        })
    }

    fn asked_of(&self) -> String {
        match self.service.is_empty() {
            true => "the server".into(),
            false => format!("the service `{}`", self.service),
        }
    }

    /// Why a call that ended like this says that it is not well.
    fn failed(&self, code: GrpcCode) -> String {
        let asked = self.asked_of();
        match code {
            GrpcCode::NOT_FOUND => format!("it does not know {asked} (not_found)"),
            GrpcCode::UNIMPLEMENTED => {
                "it has no health service, grpc.health.v1.Health (unimplemented)".into()
            }
            GrpcCode::UNAUTHENTICATED | GrpcCode::PERMISSION_DENIED => {
                format!("its health service may not be asked by us ({code})")
            }
            code => format!("asked for its health, it answered {code}"),
        }
    }
}

impl Check for GrpcCheck {
    delegate_pace!();

    fn probe(&self, address: &str) -> Probe {
        let host = host(self.host.as_deref(), address);
        let question = question(&self.service);
        // In a chunk: calls tell no length.
        let head = format!(
            "POST /grpc.health.v1.Health/Check HTTP/1.1\r\nHost: {host}\r\n\
             Content-Type: application/grpc\r\nTE: trailers\r\nUser-Agent: tidegate-health\r\n\
             Transfer-Encoding: chunked\r\n\r\n{:x}\r\n",
            question.len()
        );
        let parts = [head.as_bytes(), &question, b"\r\n0\r\n\r\n"];
        Probe::Call {
            bytes: parts.concat(),
            within: WITHIN,
        }
    }

    fn judge(&self, heard: Heard<'_>) -> Verdict {
        let Heard::Call { status, code, body } = heard else {
            return Verdict::Unhealthy("it did not answer".into());
        };
        let why = match (status, code) {
            (200, Some(GrpcCode::OK)) => match answer(body) {
                Ok(Serving::Yes) => return Verdict::Healthy,
                Ok(Serving::No) => {
                    format!("{} does not serve (NOT_SERVING)", self.asked_of())
                }
                Ok(Serving::NoService) => {
                    format!("it does not know {} (SERVICE_UNKNOWN)", self.asked_of())
                }
                Ok(Serving::Unknown) => {
                    format!("whether {} serves is not known (UNKNOWN)", self.asked_of())
                }
                Ok(Serving::Other) => "its answer is a status that has no name".into(),
                Err(why) => why.into(),
            },
            (200, Some(code)) => self.failed(code),
            (200, None) => "its answer has no grpc-status: it does not speak gRPC".into(),
            (status, _) => format!("it answered with status {status}: it does not speak gRPC"),
        };
        Verdict::Unhealthy(why)
    }
}
