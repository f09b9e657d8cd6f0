//! R1: kill -9 under load, a few times. `./run torture R1` does it a thousand times.

use torture::{Plan, kills};

#[test]
fn killed_under_load_nothing_acknowledged_is_lost() {
    kills::log(&Plan::of(20)).assert_clean("killed under load");
}
