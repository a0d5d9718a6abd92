// SPDX-License-Identifier: Apache-2.0
use tidegate_contract::{Heard, Verdict};

/// The verdict of a check that a function worker ran: 204 is well, everything else says why not.
pub(crate) fn of_function(heard: Heard<'_>) -> Verdict {
    match heard {
        Heard::Response { status: 204, .. } => Verdict::Healthy,
        Heard::Response { body, .. } => {
            let said = String::from_utf8_lossy(body);
            Verdict::Unhealthy(said.chars().filter(|c| !c.is_control()).collect())
        }
        _ => Verdict::Unhealthy("the check gave no answer".into()),
    }
}
