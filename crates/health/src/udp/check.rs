// SPDX-License-Identifier: Apache-2.0
use super::Settings;
use crate::pace::{Pace, delegate_pace, pace};
use tidegate_contract::{Check, Expected, Heard, Probe, Verdict};
use tidegate_core::written_bytes;

/// Sends a datagram and waits for one back.
#[derive(Clone, Debug)]
pub struct UdpCheck {
    pace: Pace,
    send: Vec<u8>,
    expect: Option<Expected>,
}

impl UdpCheck {
    /// The check for these settings.
    ///
    /// # Errors
    /// A time or count is 0, or bytes are none.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let bytes = |text: &String| written_bytes(text).map_err(|error| format!("udp: {error}"));
        let expect = settings.expect.as_ref().map(bytes).transpose()?;
        Ok(Self {
            pace: pace!(settings).map_err(|error| format!("udp: {error}"))?,
            send: bytes(&settings.send)?,
            expect: expect.map(|text| Expected {
                text,
                within: usize::MAX,
            }),
        })
    }
}

impl Check for UdpCheck {
    delegate_pace!();

    fn speaks_tls(&self) -> bool {
        false
    }

    fn probe(&self, _address: &str) -> Probe {
        Probe::Datagram {
            bytes: self.send.clone(),
        }
    }

    fn judge(&self, heard: Heard<'_>) -> Verdict {
        match (&self.expect, heard) {
            (Some(expect), Heard::Bytes(bytes)) if !expect.is_in(bytes) => {
                let length = bytes.len();
                let why = format!("the expected bytes are not in its answer of {length} bytes");
                Verdict::Unhealthy(why)
            }
            (_, Heard::Bytes(_)) => Verdict::Healthy,
            _ => Verdict::Unhealthy("no datagram came back".into()),
        }
    }
}
