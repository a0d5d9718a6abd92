// SPDX-License-Identifier: Apache-2.0
//! What became of an attack, as one line of JSON.

use std::collections::BTreeMap;

use super::frames::Counts;

/// Counts of the whole attack.
#[derive(Debug, Default)]
pub struct Report {
    /// Connections open now.
    pub open: u64,
    /// Connections begun.
    pub opened: u64,
    /// Of those that ended, how many the proxy ended before their handshake was done or anything was sent.
    pub kept_out: u64,
    /// How many the proxy ended later.
    pub cut: u64,
    /// How many the attacker left.
    pub left: u64,
    /// Repeats that were sent whole.
    pub repeats: u64,
    /// Of these, on connections that were cut since.
    pub repeats_cut: u64,
    /// Bytes sent, without TLS.
    pub sent: u64,
    /// Bytes that came.
    pub received: u64,
    /// What they said.
    pub counts: Counts,
}

impl Report {
    /// One JSON object; codes and statuses are keys.
    #[must_use]
    pub fn json(&self) -> String {
        format!(
            "{{\"open\":{},\"opened\":{},\"kept_out\":{},\"cut\":{},\"left\":{},\"repeats\":{},\"repeats_cut\":{},\
             \"sent\":{},\"received\":{},\"heads\":{},\"resets\":{},\"goaways\":{},\"statuses\":{}}}",
            self.open,
            self.opened,
            self.kept_out,
            self.cut,
            self.left,
            self.repeats,
            self.repeats_cut,
            self.sent,
            self.received,
            self.counts.heads,
            object(&self.counts.resets),
            object(&self.counts.goaways),
            object(&self.counts.statuses),
        )
    }
}

fn object(counts: &BTreeMap<u32, u64>) -> String {
    let pairs: Vec<String> = counts
        .iter()
        .map(|(code, count)| format!("\"{code}\":{count}"))
        .collect();
    format!("{{{}}}", pairs.join(","))
}
