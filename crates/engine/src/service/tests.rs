// SPDX-License-Identifier: Apache-2.0
use super::memory::shares;

#[test]
fn the_largest_holders_go_first_whichever_thread_has_them() {
    let holders = vec![(10, 0), (500, 1), (20, 0), (400, 1), (300, 0)];
    assert_eq!(shares(holders.clone(), 1, 2), [0, 1]);
    assert_eq!(shares(holders.clone(), 501, 2), [0, 2]);
    assert_eq!(shares(holders.clone(), 901, 2), [1, 2]);
    assert_eq!(shares(holders.clone(), 5000, 2), [3, 2]);
    assert_eq!(shares(holders, 0, 2), [0, 0]);
}
