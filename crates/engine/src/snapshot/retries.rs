// SPDX-License-Identifier: Apache-2.0
//! How many retries a backend may have.
use std::collections::VecDeque;
use tidegate_core::Moment;

/// Over which retries are compared with requests.
const WINDOW_MS: u64 = 10_000;

/// What had been counted at a moment.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    at: Moment,
    requests: u64,
    spent: u64,
}

/// Retries against the requests of the last ten seconds, whenever they are asked for.
///
/// A window that is begun anew every ten seconds would have nothing earned just after it began: a
/// zone that goes dark then would find no budget, whatever the traffic before.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    /// Oldest first, about one a second, and never none: the first is where the window begins.
    marks: VecDeque<Mark>,
    /// Retries ever allowed.
    spent: u64,
}

impl RetryBudget {
    /// The budget of a backend that is new at `now`.
    pub(crate) fn new(now: Moment) -> Self {
        let mark = Mark {
            at: now,
            ..Mark::default()
        };
        Self {
            marks: VecDeque::from([mark]),
            spent: 0,
        }
    }

    /// Notes how many requests there have ever been, retries among them.
    pub(crate) fn note(&mut self, now: Moment, requests: u64) {
        self.forget(now);
        self.marks.push_back(Mark {
            at: now,
            requests,
            spent: self.spent,
        });
    }

    /// Whether one more retry is allowed, which is then spent: up to `percent` of the requests and
    /// at least `floor` a second.
    pub(crate) fn spend(&mut self, now: Moment, requests: u64, percent: u8, floor: u32) -> bool {
        self.forget(now);
        let since = self.marks.front().copied().unwrap_or_default();
        let spent = self.spent.saturating_sub(since.spent);
        // A retry is itself counted as a request: the spent ones do not earn new ones.
        let fresh = requests
            .saturating_sub(since.requests)
            .saturating_sub(spent);
        let earned = fresh.saturating_mul(u64::from(percent)) / 100;
        let allowed = earned.max(u64::from(floor) * WINDOW_MS / 1000);
        let is_allowed = spent < allowed;
        self.spent += u64::from(is_allowed);
        is_allowed
    }

    /// Lets go of marks before the window, but for the last of them if nothing is in it.
    fn forget(&mut self, now: Moment) {
        while self.marks.len() > 1 && self.is_over(now) {
            self.marks.pop_front();
        }
    }

    fn is_over(&self, now: Moment) -> bool {
        let first = self.marks.front();
        first.is_some_and(|mark| now > mark.at.after_millis(WINDOW_MS))
    }
}

#[cfg(test)]
mod tests {
    use super::RetryBudget;
    use tidegate_core::Moment;

    fn at(seconds: u64) -> Moment {
        Moment::default().after_millis(1 + seconds * 1000)
    }

    /// So many retries of 20 % and one a second are allowed at a moment; each is a request, too.
    fn allowed(budget: &mut RetryBudget, now: Moment, requests: &mut u64) -> u64 {
        let before = *requests;
        while budget.spend(now, *requests, 20, 1) {
            *requests += 1;
        }
        *requests - before
    }

    #[test]
    fn a_burst_finds_what_the_last_ten_seconds_earned_whenever_it_comes() {
        for begins in 10..25 {
            let mut budget = RetryBudget::new(at(0));
            let mut requests = 0;
            for second in 0..begins {
                budget.note(at(second), requests);
                requests += 1000;
            }
            let found = allowed(&mut budget, at(begins), &mut requests);
            assert_eq!(
                found, 2000,
                "a fifth of ten seconds, {begins} s after the start"
            );
            budget.note(at(begins), requests);
            assert_eq!(
                allowed(&mut budget, at(begins + 1), &mut requests),
                0,
                "it is spent"
            );
        }
    }

    #[test]
    fn what_was_spent_and_what_was_earned_is_forgotten_after_ten_seconds() {
        let mut budget = RetryBudget::new(at(0));
        let mut requests = 1000;
        assert_eq!(allowed(&mut budget, at(0), &mut requests), 200);
        for second in 0..=11 {
            budget.note(at(second), requests);
        }
        assert_eq!(allowed(&mut budget, at(11), &mut requests), 10, "the floor");
        assert_eq!(allowed(&mut budget, at(11), &mut requests), 0);
    }

    #[test]
    fn without_traffic_there_is_the_floor() {
        let mut budget = RetryBudget::new(at(0));
        let mut requests = 0;
        assert_eq!(allowed(&mut budget, at(5), &mut requests), 10);
    }
}
