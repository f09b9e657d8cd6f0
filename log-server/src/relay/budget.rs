//! How often a client may ask the relay.

use std::net::IpAddr;
use std::num::NonZeroU32;

use attestation::did::Did;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use service::addresses::{AddressBudget, quota_a_day};

use super::MailSettings;

/// How often an address and a DID may ask.
pub struct MailBudgets {
    sends_by_address: AddressBudget,
    sends_by_did: Option<DefaultKeyedRateLimiter<Did>>,
    sends_by_did_a_day: Option<DefaultKeyedRateLimiter<Did>>,
    lists_by_address: AddressBudget,
}

/// Which budget is spent.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Spent {
    /// The address has sent as often as it may.
    #[error("{0} has sent as many messages as an address may")]
    AddressMessages(IpAddr),
    /// The DID has sent as often as it may; when it may again at the latest, in seconds.
    #[error("{0} has sent as many messages as a DID may")]
    DidMessages(Did, u32),
    /// The address has asked for mailboxes as often as it may.
    #[error("{0} has asked for mailboxes as often as an address may")]
    AddressLists(IpAddr),
}

impl MailBudgets {
    pub(super) fn new(settings: &MailSettings) -> Self {
        let a_minute = |messages: u32| NonZeroU32::new(messages).map(Quota::per_minute);
        Self {
            sends_by_address: AddressBudget::new(settings.address_sends_per_minute.unwrap_or(600)),
            sends_by_did: a_minute(settings.did_sends_per_minute.unwrap_or(60)).map(RateLimiter::keyed),
            sends_by_did_a_day: quota_a_day(settings.did_sends_per_day.unwrap_or(2_000))
                .map(RateLimiter::keyed),
            lists_by_address: AddressBudget::new(settings.address_lists_per_minute.unwrap_or(240)),
        }
    }

    /// Takes one message from what an address may send.
    pub fn spend_send(&self, address: IpAddr) -> Result<(), Spent> {
        self.sends_by_address.spend(address, 1).map_err(|_| Spent::AddressMessages(address))
    }

    /// Takes one message from what a DID may send. Call it after its signature is checked, so that nobody spends
    /// another's budget.
    pub fn spend_send_of(&self, did: Did) -> Result<(), Spent> {
        let is_spent = |limiter: &Option<DefaultKeyedRateLimiter<Did>>| {
            limiter.as_ref().is_some_and(|limiter| limiter.check_key(&did).is_err())
        };
        if is_spent(&self.sends_by_did) {
            return Err(Spent::DidMessages(did, 60));
        }
        if is_spent(&self.sends_by_did_a_day) {
            return Err(Spent::DidMessages(did, 3_600));
        }
        Ok(())
    }

    /// Takes one request from how often an address may ask for mailboxes.
    pub fn spend_list(&self, address: IpAddr) -> Result<(), Spent> {
        self.lists_by_address.spend(address, 1).map_err(|_| Spent::AddressLists(address))
    }

    /// Forgets addresses and DIDs that are back at their full budget: memory stays bounded.
    pub fn forget_idle(&self) {
        self.sends_by_address.forget_idle();
        self.lists_by_address.forget_idle();
        for limiter in [&self.sends_by_did, &self.sends_by_did_a_day].into_iter().flatten() {
            limiter.retain_recent();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_and_a_did_have_budgets_of_their_own() {
        let settings = MailSettings {
            address_sends_per_minute: Some(3),
            did_sends_per_minute: Some(2),
            did_sends_per_day: Some(3),
            address_lists_per_minute: Some(1),
            ..MailSettings::default()
        };
        let budgets = MailBudgets::new(&settings);
        let (address, did) = (IpAddr::from([192, 0, 2, 1]), |number| Did::from_bytes([number; 16]));
        for _ in 0..3 {
            assert_eq!(budgets.spend_send(address), Ok(()));
        }
        assert_eq!(budgets.spend_send(address), Err(Spent::AddressMessages(address)));
        assert_eq!(budgets.spend_send(IpAddr::from([192, 0, 2, 2])), Ok(()));
        assert_eq!(budgets.spend_list(address), Ok(()));
        assert_eq!(budgets.spend_list(address), Err(Spent::AddressLists(address)));
        assert_eq!(budgets.spend_send_of(did(1)), Ok(()));
        assert_eq!(budgets.spend_send_of(did(1)), Ok(()));
        assert_eq!(budgets.spend_send_of(did(1)), Err(Spent::DidMessages(did(1), 60)));
        assert_eq!(budgets.spend_send_of(did(2)), Ok(()));
        let settings = MailSettings { did_sends_per_minute: Some(0), ..settings };
        let budgets = MailBudgets::new(&settings);
        let spent: Vec<_> = (0..4).map(|_| budgets.spend_send_of(did(1)).is_ok()).collect();
        assert_eq!(spent, [true, true, true, false], "the day's budget alone");
    }
}
