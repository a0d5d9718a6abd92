// SPDX-License-Identifier: Apache-2.0
//! Which cases are not passed, and why.

const EXACT: &str = "a whole number and a double are compared without losing digits";
const CONTAINER: &str = "names are whole: there is no container that they may be looked for in";
const ZONES: &str =
    "a zone is written as its offset from UTC: names need files that change with laws";
const EMPTY: &str = "an empty list is one of anything";

/// Single cases.
pub const NAMED: &[(&str, &str)] = &[
    (
        "comparisons/lt_literal/not_lt_dyn_int_big_lossy_double",
        EXACT,
    ),
    ("comparisons/gt_literal/not_gt_dyn_big_double_int", EXACT),
    ("comparisons/lte_literal/lte_dyn_big_double_int", EXACT),
    (
        "comparisons/gte_literal/gte_dyn_int_big_lossy_double",
        EXACT,
    ),
    ("namespace/namespace/self_eval_container_lookup", CONTAINER),
    (
        "namespace/namespace/self_eval_container_lookup_unchecked",
        CONTAINER,
    ),
    ("namespace/namespace_shadowing/basic", CONTAINER),
    ("timestamps/timestamp_selectors_tz/getDate", ZONES),
    (
        "timestamps/timestamp_selectors_tz/getDayOfMonth_name_pos",
        ZONES,
    ),
    (
        "timestamps/timestamp_selectors_tz/getDayOfMonth_name_neg",
        ZONES,
    ),
    ("timestamps/timestamp_selectors_tz/getDayOfYear", ZONES),
    ("timestamps/timestamp_selectors_tz/getMinutes", ZONES),
    (
        "type_deduction/flexible_type_parameter_assignment/list_parameter",
        EMPTY,
    ),
    (
        "type_deduction/flexible_type_parameter_assignment/list_parameter_order_independent",
        EMPTY,
    ),
];

/// Why a case is not passed that ended so; `None` when there is no reason.
pub fn why(name: &str, outcome: &str) -> Option<&'static str> {
    match outcome {
        "a message" => return Some("messages of protocol buffers: there are none here"),
        "a function of its own" => return Some("an environment adds names, and no functions"),
        "refused when it is read" => return Some("types are always checked"),
        _ => {}
    }
    if name.starts_with("string_ext/format/") || name.starts_with("string_ext/quote/") {
        return Some("text is not formatted here");
    }
    if outcome.contains("there is no `optional`") {
        return Some("there are no optional values: `in` and `has()` tell what there is");
    }
    NAMED
        .iter()
        .find(|(own, _)| *own == name)
        .map(|(_, why)| *why)
}
