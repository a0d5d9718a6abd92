// SPDX-License-Identifier: Apache-2.0
use crate::Allowance;
use tidegate_core::Moment;

/// What is left of an [`Allowance`].
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    allowance: Allowance,
    left: u32,
    /// Until when it was filled up. `None` until something is spent.
    filled: Option<Moment>,
}

impl Budget {
    /// All of it.
    pub fn new(allowance: Allowance) -> Self {
        Self {
            allowance,
            left: allowance.burst,
            filled: None,
        }
    }

    /// Takes `count`; whether there was as much.
    #[inline]
    pub fn spend(&mut self, now: Moment, count: u32) -> bool {
        if self.left < count {
            self.fill(now);
        }
        self.filled.get_or_insert(now);
        match self.left.checked_sub(count) {
            Some(left) => self.left = left,
            None => return false,
        }
        true
    }

    /// Gives `count` for useful work.
    #[inline]
    pub fn earn(&mut self, count: u32) {
        self.left = self.left.saturating_add(count).min(self.allowance.burst);
    }

    fn fill(&mut self, now: Moment) {
        let Some(filled) = self.filled else { return };
        let rate = u64::from(self.allowance.per_second);
        let tokens = now.micros_since(filled).saturating_mul(rate) / 1_000_000;
        if tokens > 0 {
            self.earn(u32::try_from(tokens).unwrap_or(u32::MAX));
            self.filled = Some(now);
        }
    }
}
