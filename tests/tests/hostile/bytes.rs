//! Hostile bytes in a request: numbers (S9), JSON (S11), paths (S15), repetition (R12).

use torture::{Plan, bytes};

#[test]
fn json_that_is_not_strict_is_refused_by_name() {
    bytes::json(&Plan::of(1)).assert_clean("S11");
}

#[test]
fn no_path_leads_out_of_the_log() {
    bytes::paths(&Plan::of(1)).assert_clean("S15");
}

#[test]
fn a_number_is_a_plain_decimal_or_refused() {
    bytes::numbers(&Plan::of(1)).assert_clean("S9");
}

#[test]
fn one_statement_is_one_leaf_however_often_it_is_sent() {
    bytes::repetition(&Plan::of(10_000)).assert_clean("R12");
}
