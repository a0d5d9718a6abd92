// SPDX-License-Identifier: Apache-2.0
//! What a run came to, as one line of JSON.

/// Latencies and counts of one run's window.
#[derive(Debug, Default)]
pub struct Report {
    /// Nanoseconds from when a request was due (fixed rate) or sent (closed loop) to its last byte; 4.29 s at most.
    pub latencies: Vec<u32>,
    /// Answers that were complete and right.
    pub answered: u64,
    /// Answers with another status than 200.
    pub wrong_status: u64,
    /// Answers whose length or bytes were wrong.
    pub wrong_body: u64,
    /// Connections that broke or were refused while an answer was owed.
    pub broken: u64,
    /// Requests sent again because the connection closed before the first byte of an answer.
    pub again: u64,
    /// Bytes that the client sent and received, heads included.
    pub moved: u64,
    /// Answers that each address of the origin server wrote.
    pub origins: Vec<u64>,
    /// Of the answers on connections of their own, those that came inside of a session of TLS of before.
    pub resumed: u64,
    /// Connections opened.
    pub opened: u64,
    /// Most requests that were due and waited for a free connection at once.
    pub most_waiting: u64,
}

impl Report {
    /// Everything that went wrong.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.wrong_status + self.wrong_body + self.broken
    }

    /// One JSON object; latencies in microseconds, `null` when nothing was answered.
    pub fn json(&mut self, seconds: f64) -> String {
        self.latencies.sort_unstable();
        let points: Vec<String> = [
            ("p50", 0.5),
            ("p90", 0.9),
            ("p99", 0.99),
            ("p999", 0.999),
            ("max", 1.0),
        ]
        .iter()
        .map(|(name, share)| match percentile(&self.latencies, *share) {
            Some(value) => format!("\"{name}_us\":{:.1}", f64::from(value) / 1000.0),
            None => format!("\"{name}_us\":null"),
        })
        .collect();
        format!(
            "{{\"seconds\":{seconds:.6},\"answered\":{},\"wrong_status\":{},\"wrong_body\":{},\"broken\":{},\
             \"again\":{},\"moved\":{},\"origins\":{:?},\"resumed\":{},\"opened\":{},\"most_waiting\":{},{}}}",
            self.answered,
            self.wrong_status,
            self.wrong_body,
            self.broken,
            self.again,
            self.moved,
            self.origins,
            self.resumed,
            self.opened,
            self.most_waiting,
            points.join(",")
        )
    }
}

/// The smallest value that at least `share` of the sorted values do not exceed.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss
)]
fn percentile(sorted: &[u32], share: f64) -> Option<u32> {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let values: Vec<u32> = (1..=100).collect();
        assert_eq!(percentile(&values, 0.5), Some(50));
        assert_eq!(percentile(&values, 0.99), Some(99));
        assert_eq!(percentile(&values, 1.0), Some(100));
        assert_eq!(percentile(&[7], 0.5), Some(7));
        assert_eq!(percentile(&[], 0.5), None);
    }
}
