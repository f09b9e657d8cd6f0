//! How much one address may ask. A log's own budget is [`crate::logs::Log::spend`]'s.

use std::net::IpAddr;
use std::num::NonZeroU32;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use ipnet::IpNet;

use super::error::Problem;

/// The budgets of addresses.
#[derive(Debug)]
pub struct Budgets {
    trusted_proxies: Vec<IpNet>,
    by_address: Option<DefaultKeyedRateLimiter<IpAddr>>,
}

impl Budgets {
    /// So many requests a minute for each address, 0 for no limit; behind `trusted_proxies` the address is that of
    /// their client.
    pub fn new(per_minute: u32, trusted_proxies: Vec<IpNet>) -> Self {
        let quota = NonZeroU32::new(per_minute).map(Quota::per_minute);
        Self { trusted_proxies, by_address: quota.map(RateLimiter::keyed) }
    }

    /// Whether `address` is a proxy whose `X-Forwarded-For` is believed.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(&address))
    }

    /// Takes one request from what an address may ask.
    pub fn spend_address(&self, address: IpAddr) -> Result<(), Problem> {
        match &self.by_address {
            Some(limiter) if limiter.check_key(&network(address)).is_err() => {
                Err(Problem::too_many("address-budget", format!("{address} has sent too many requests")))
            }
            _ => Ok(()),
        }
    }

    /// Forgets addresses that are back at their full budget: memory stays bounded.
    pub fn forget_idle(&self) {
        if let Some(limiter) = &self.by_address {
            limiter.retain_recent();
        }
    }
}

/// One customer gets a /64 of IPv6: the whole of it is one address here.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
    }
}
