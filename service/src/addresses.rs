//! Which address a request counts for, and how much each address may ask.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use axum::http::HeaderMap;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use ipnet::IpNet;

/// Networks of reverse proxies whose `X-Forwarded-For` is believed.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Vec<IpNet>);

impl Proxies {
    /// These networks.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether an address is such a proxy.
    pub fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The address a request counts for: the peer's, or, behind these proxies, the last address in
    /// `X-Forwarded-For` that is none of them.
    pub fn client(&self, peer: SocketAddr, headers: &HeaderMap) -> IpAddr {
        let mut address = peer.ip().to_canonical();
        let lines = headers.get_all("x-forwarded-for").iter().filter_map(|line| line.to_str().ok());
        let hops: Vec<&str> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
        for hop in hops.into_iter().rev() {
            if !self.contain(address) {
                break;
            }
            match hop.parse::<IpAddr>() {
                Ok(hop) => address = hop.to_canonical(),
                Err(_) => break,
            }
        }
        address
    }
}

/// So many a day, all of them at once if nothing was asked before; `None` for 0.
pub fn quota_a_day(per_day: u32) -> Option<Quota> {
    let per_day = NonZeroU32::new(per_day)?;
    Some(Quota::with_period(DAY / per_day.get())?.allow_burst(per_day))
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// An IPv6 address stands for its /64, which is what one customer gets.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
    }
}

/// How much each address may ask in a time.
#[derive(Debug)]
pub struct AddressBudget {
    limiter: Option<DefaultKeyedRateLimiter<IpAddr>>,
}

/// Why an address is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Spent {
    /// It has asked for as much as it may: later.
    Now,
    /// It asks for more at once than it may in all of that time: never.
    TooMuch,
}

impl AddressBudget {
    /// So many a minute for each address; 0: no limit.
    pub fn new(per_minute: u32) -> Self {
        Self::of(NonZeroU32::new(per_minute).map(Quota::per_minute))
    }

    /// So many a day for each address; 0: no limit.
    pub fn a_day(per_day: u32) -> Self {
        Self::of(quota_a_day(per_day))
    }

    fn of(quota: Option<Quota>) -> Self {
        Self { limiter: quota.map(RateLimiter::keyed) }
    }

    /// Takes `count`, at least one, from what an address may ask.
    pub fn spend(&self, address: IpAddr, count: usize) -> Result<(), Spent> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        let count = u32::try_from(count.max(1)).ok().and_then(NonZeroU32::new).ok_or(Spent::TooMuch)?;
        match limiter.check_key_n(&network(address), count) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Spent::Now),
            Err(_) => Err(Spent::TooMuch),
        }
    }

    /// Forgets addresses that are back at their full budget: memory stays bounded.
    pub fn forget_idle(&self) {
        if let Some(limiter) = &self.limiter {
            limiter.retain_recent();
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_client_cannot_choose_its_address() {
        let proxies = Proxies::new(vec!["10.0.0.0/8".parse().expect("a network")]);
        let peer = |text: &str| SocketAddr::new(text.parse().expect("an address"), 1);
        for (from, forwarded, want) in [
            ("192.0.2.1", &["198.51.100.7"][..], "192.0.2.1"),
            ("10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            // What the client wrote itself stands before what the proxies wrote.
            ("10.0.0.1", &["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["203.0.113.9", "198.51.100.7, 10.0.0.2"], "198.51.100.7"),
            ("10.0.0.1", &["no address, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("::ffff:192.0.2.1", &[], "192.0.2.1"),
        ] {
            let mut headers = HeaderMap::new();
            for line in forwarded {
                headers.append("x-forwarded-for", HeaderValue::from_static(line));
            }
            assert_eq!(proxies.client(peer(from), &headers).to_string(), want, "{from} {forwarded:?}");
        }
    }

    #[test]
    fn a_budget_is_of_a_network_and_says_what_never_fits() {
        let budget = AddressBudget::new(2);
        let (one, same, other) = ("2001:db8::1", "2001:db8::2:3", "2001:db8:0:1::1");
        let spend = |address: &str, count| budget.spend(address.parse().expect("an address"), count);
        assert_eq!(spend(one, 3), Err(Spent::TooMuch));
        assert_eq!(spend(one, usize::MAX), Err(Spent::TooMuch));
        assert_eq!(spend(one, 2), Ok(()));
        assert_eq!(spend(same, 1), Err(Spent::Now));
        assert_eq!(spend(other, 0), Ok(()), "at least one");
        assert_eq!(spend(other, 2), Err(Spent::Now));
        assert_eq!(AddressBudget::new(0).spend(one.parse().expect("an address"), usize::MAX), Ok(()));
    }
}
