// SPDX-License-Identifier: Apache-2.0
use super::Settings;
use crate::pace::{Pace, delegate_pace, pace};
use tidegate_contract::{Check, Expected, Heard, Probe, Verdict};

/// Connects; sends something and waits for a text if told to.
#[derive(Clone, Debug)]
pub struct TcpCheck {
    pace: Pace,
    send: Vec<u8>,
    expect: Option<Expected>,
    tls: bool,
}

impl TcpCheck {
    /// The check for these settings.
    ///
    /// # Errors
    /// A time or count is 0.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default().into_bytes();
        let expect = settings.expect.is_some().then(|| Expected {
            text: text(&settings.expect),
            within: usize::try_from(settings.expect_within.0).unwrap_or(usize::MAX),
        });
        Ok(Self {
            pace: pace!(settings).map_err(|error| format!("tcp: {error}"))?,
            send: text(&settings.send),
            expect,
            tls: settings.tls,
        })
    }
}

impl Check for TcpCheck {
    delegate_pace!();

    fn speaks_tls(&self) -> bool {
        self.tls
    }

    fn probe(&self, _address: &str) -> Probe {
        match &self.expect {
            Some(expect) => Probe::Exchange {
                bytes: self.send.clone(),
                text: expect.clone(),
            },
            None => Probe::Connect,
        }
    }

    /// To be asked at all means that the endpoint accepted a connection.
    fn judge(&self, heard: Heard<'_>) -> Verdict {
        match (&self.expect, heard) {
            (Some(expect), Heard::Bytes(bytes)) if !expect.is_in(bytes) => {
                Verdict::Unhealthy(format!(
                    "the expected text is not in the first {} bytes it sent",
                    bytes.len().min(expect.within)
                ))
            }
            _ => Verdict::Healthy,
        }
    }
}
