// SPDX-License-Identifier: Apache-2.0
use super::{Levels, Terms, WHOLE};
use crate::snapshot::{BackendShared, EndpointList};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tidegate_contract::Health;
use tidegate_core::{Draw, Moment};

const NOW: Moment = Moment(1_000_000);

fn terms(zone: Option<&str>, panic_percent: u8) -> Terms {
    Terms {
        zone: zone.map(Into::into),
        overprovisioning_percent: 140,
        panic_percent,
    }
}

/// Endpoints as (zone, priority, weight, whether it is well), in zones that are drained or not.
fn list(endpoints: &[(&str, u8, u32, bool)], drained: &[&str]) -> Arc<EndpointList> {
    let drained: BTreeSet<String> = drained.iter().map(|zone| (*zone).to_owned()).collect();
    let shared = BackendShared::new("b", NOW, Arc::new(drained));
    let each = endpoints.iter().enumerate();
    let each: Vec<_> = each
        .map(|(index, (zone, priority, weight, _))| {
            json!({"address": format!("192.0.2.1:{}", index + 1), "zone": zone,
                   "priority": priority, "weight": weight, "draining": false, "found_by": "configuration"})
        })
        .collect();
    let set = json!({"backend": "b", "sequence": 1, "endpoints": each});
    shared.set_endpoints(&serde_json::from_value(set).unwrap(), NOW);
    let list = shared.list.load_full();
    for ((_, _, _, is_well), endpoint) in endpoints.iter().zip(&list.endpoints) {
        if !is_well {
            endpoint.state.set_health(Health::Down);
        }
    }
    list
}

/// Of each group: priority, whether it is local, whether in panic, members, percent.
fn divided(list: &EndpointList, terms: &Terms) -> Vec<(u8, bool, bool, Vec<u16>, f64)> {
    let levels = Levels::divide(list, terms, NOW);
    let groups = levels.shares().map(|(share, _, group)| {
        let percent = (share * 1000.0).round() / 10.0;
        let members = group.members.clone();
        (
            group.priority,
            group.is_local,
            group.is_panic,
            members,
            percent,
        )
    });
    groups.collect()
}

#[test]
fn the_own_zone_takes_all_while_it_can_carry_it() {
    let all = [("a", 0, 1, true), ("a", 0, 1, true), ("b", 0, 1, true)];
    let expected = vec![
        (0, true, false, vec![0, 1], 100.0),
        (0, false, false, vec![2], 0.0),
    ];
    assert_eq!(divided(&list(&all, &[]), &terms(Some("a"), 1)), expected);
}

#[test]
fn what_the_own_zone_cannot_carry_goes_to_the_others() {
    let all = [("a", 0, 1, true), ("a", 0, 1, false), ("b", 0, 1, true)];
    // 1 of 2 well, times 1.4.
    let expected = vec![
        (0, true, false, vec![0], 70.0),
        (0, false, false, vec![2], 30.0),
    ];
    assert_eq!(divided(&list(&all, &[]), &terms(Some("a"), 1)), expected);
    let gone = [("a", 0, 1, false), ("b", 0, 1, true)];
    let expected = vec![(0, false, false, vec![1], 100.0)];
    assert_eq!(divided(&list(&gone, &[]), &terms(Some("a"), 1)), expected);
}

#[test]
fn weights_are_what_is_counted() {
    let all = [("a", 0, 3, true), ("a", 0, 1, false), ("b", 0, 1, true)];
    // 3 of 4, times 1.4, is more than all.
    assert_eq!(divided(&list(&all, &[]), &terms(Some("a"), 1))[0].4, 100.0);
}

#[test]
fn an_own_zone_without_an_endpoint_is_none() {
    let all = [("b", 0, 1, true), ("c", 0, 1, true)];
    let expected = vec![(0, false, false, vec![0, 1], 100.0)];
    assert_eq!(divided(&list(&all, &[]), &terms(Some("a"), 1)), expected);
}

#[test]
fn the_next_priority_takes_what_the_first_cannot_carry() {
    let two = [("a", 0, 1, true), ("a", 0, 1, true), ("a", 1, 1, true)];
    let shares = |endpoints: &[_]| -> Vec<(u8, f64)> {
        let groups = divided(&list(endpoints, &[]), &terms(None, 1));
        groups.into_iter().map(|group| (group.0, group.4)).collect()
    };
    assert_eq!(shares(&two), [(0, 100.0), (1, 0.0)]);
    let half = [("a", 0, 1, true), ("a", 0, 1, false), ("a", 1, 1, true)];
    assert_eq!(shares(&half), [(0, 70.0), (1, 30.0)]);
    let none = [("a", 0, 1, false), ("a", 0, 1, false), ("a", 1, 1, true)];
    assert_eq!(shares(&none), [(1, 100.0)]);
}

#[test]
fn priorities_that_cannot_carry_it_together_share_it_in_proportion() {
    let all = [
        ("a", 0, 1, true),
        ("a", 0, 3, false),
        ("a", 1, 1, true),
        ("a", 1, 3, false),
    ];
    // 0.35 each.
    let groups = divided(&list(&all, &[]), &terms(None, 1));
    assert_eq!(
        groups.iter().map(|group| group.4).collect::<Vec<_>>(),
        [50.0, 50.0]
    );
}

#[test]
fn below_the_panic_threshold_health_is_not_believed() {
    let all = [("a", 0, 1, true), ("a", 0, 2, false)];
    // 33 % well.
    let calm = vec![(0, false, false, vec![0], 100.0)];
    assert_eq!(divided(&list(&all, &[]), &terms(None, 33)), calm);
    let panic = vec![(0, false, true, vec![0, 1], 100.0)];
    assert_eq!(divided(&list(&all, &[]), &terms(None, 34)), panic);
    // Zones do not matter then.
    assert_eq!(divided(&list(&all, &[]), &terms(Some("a"), 34)), panic);
}

#[test]
fn with_none_well_all_are_used_or_none() {
    let all = [("a", 0, 1, false), ("a", 0, 1, false), ("a", 1, 1, false)];
    let panic = vec![(0, false, true, vec![0, 1], 100.0)];
    assert_eq!(divided(&list(&all, &[]), &terms(None, 1)), panic);
    assert_eq!(divided(&list(&all, &[]), &terms(None, 0)), vec![]);
}

#[test]
fn one_percent_is_none_however_many_there_are() {
    let mut all = vec![("a", 0, 1, false); 500];
    all[7].3 = true;
    let expected = vec![(0, false, false, vec![7], 100.0)];
    assert_eq!(divided(&list(&all, &[]), &terms(None, 1)), expected);
}

#[test]
fn a_drained_zone_takes_nothing_unless_it_is_the_only_one() {
    let all = [("a", 0, 1, true), ("b", 0, 1, true)];
    let expected = vec![(0, false, false, vec![1], 100.0)];
    assert_eq!(divided(&list(&all, &["a"]), &terms(Some("a"), 1)), expected);
    let only = [("a", 0, 1, true), ("a", 0, 1, true), ("b", 0, 0, true)];
    let expected = vec![(0, true, false, vec![0, 1], 100.0)];
    assert_eq!(
        divided(&list(&only, &["a"]), &terms(Some("a"), 1)),
        expected
    );
}

#[test]
fn a_division_ends_with_the_next_exclusion() {
    let list = list(&[("a", 0, 1, true), ("b", 0, 1, true)], &[]);
    let end = NOW.millis() + 7;
    let state = &list.endpoints[0].state;
    state.excluded_until.store(end, Ordering::Relaxed);
    let levels = Levels::divide(&list, &terms(None, 1), NOW);
    assert_eq!(levels.until.millis(), end);
}

#[test]
fn the_shares_are_the_whole_whatever_comes() {
    let mut draw = Draw::from_seed(11);
    for _ in 0..2000 {
        let count = draw.below(9) + 1;
        let endpoints: Vec<(&str, u8, u32, bool)> = (0..count)
            .map(|_| {
                let zone = ["a", "b", "c"][draw.below(3) as usize];
                let priority = draw.below(3) as u8;
                (zone, priority, draw.below(4) as u32, draw.below(2) == 0)
            })
            .collect();
        let zone = ["a", "z"][draw.below(2) as usize];
        let panic_percent = [0, 1, 50, 100][draw.below(4) as usize];
        let list = list(&endpoints, &[]);
        let levels = Levels::divide(&list, &terms(Some(zone), panic_percent), NOW);
        let Some(last) = levels.groups.last() else {
            let is_open = |endpoint: &(&str, u8, u32, bool)| endpoint.2 > 0;
            let any_well = endpoints.iter().any(|one| is_open(one) && one.3);
            assert!(!any_well, "{endpoints:?}");
            assert!(panic_percent == 0 || !endpoints.iter().any(is_open));
            continue;
        };
        assert_eq!(last.end, WHOLE, "{endpoints:?}");
        let sum: f64 = levels.shares().map(|(share, ..)| share).sum();
        assert!((sum - 1.0).abs() < 1e-9);
        assert!(levels.groups.is_sorted_by_key(|group| group.end));
    }
}
