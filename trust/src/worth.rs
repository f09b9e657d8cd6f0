//! What a path is worth, in integers: a root's weight × Π (level of a vouch × decay).

use attestation::event::Level;

use crate::params::{MAX_HOPS, Params, Ppm};

/// What a vouch of this level is worth, in percent.
pub const fn weight(level: Level) -> u8 {
    match level {
        Level::Weak => 50,
        Level::Moderate => 75,
        Level::Strong | Level::Ultimate => 100,
    }
}

/// A number of social trust: a root's weight × Π (level × decay), over the denominator that the longest path
/// has, so that paths of any length compare.
pub(crate) fn common(root_weight: u16, product: u128, hops: usize) -> u128 {
    let missing = usize::from(MAX_HOPS) - hops;
    u128::from(root_weight) * product * HOP_UNIT.pow(u32::try_from(missing).expect("at most seven"))
}

/// What a hop multiplies by, at most: a percentage times per mille.
const HOP_UNIT: u128 = 100_000;

/// What a vouch of this level multiplies a path by.
pub(crate) fn hop_factor(level: Level, params: &Params) -> u128 {
    u128::from(weight(level)) * u128::from(params.decay())
}

/// 10^38 is the whole.
pub(crate) fn to_ppm(common: u128) -> Ppm {
    let parts = common / 10_u128.pow(32);
    u32::try_from(parts).ok().and_then(Ppm::new).expect("no factor is more than the whole")
}
