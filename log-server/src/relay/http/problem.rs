//! The relay's refusals as problems.

use attestation::message::RequestError;
use axum::http::StatusCode;

use crate::admit::cut;
use crate::http::error::Problem;
use crate::relay::budget::Spent;
use crate::relay::{NoPlace, NoRoom, NotDelivered, NotSet, Unavailable};

/// A problem of a rule of the relay, or of the state of a DID.
pub(super) fn by_rule(rule: &str, title: impl Into<String>) -> Problem {
    let status = match rule {
        "request" | "sealed" => StatusCode::BAD_REQUEST,
        "request-clock" | "request-signature" => StatusCode::UNAUTHORIZED,
        "did-not-allowed" | "sender-refused" => StatusCode::FORBIDDEN,
        "no-did" | "messages-off" => StatusCode::NOT_FOUND,
        "settings-order" => StatusCode::CONFLICT,
        "address-messages" | "did-messages" | "address-lists" | "waiters" | "sender-share" | "bare-share"
        | "mailbox-full" | "address-share" => StatusCode::TOO_MANY_REQUESTS,
        "relay" | "relay-full" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Problem::new(status, rule, title)
}

/// The log has no relay.
pub(super) fn off() -> Problem {
    by_rule("messages-off", "this log relays no messages").hint("its operator set `messages = false`")
}

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Self {
        let problem = by_rule(error.rule(), cut(&error));
        match error {
            RequestError::Clock { now, .. } => {
                problem.now(now).hint("set the clock, or sign again with the time in `now`")
            }
            RequestError::Origin { want, .. } => problem.hint(format!("sign the request for `{want}`")),
            _ => problem,
        }
    }
}

impl From<Spent> for Problem {
    fn from(spent: Spent) -> Self {
        let (rule, seconds) = match spent {
            Spent::AddressMessages(_) => ("address-messages", 60),
            Spent::DidMessages(_, seconds) => ("did-messages", seconds),
            Spent::AddressLists(_) => ("address-lists", 60),
        };
        by_rule(rule, spent.to_string()).retry_after(seconds)
    }
}

impl From<NoPlace> for Problem {
    fn from(no_place: NoPlace) -> Self {
        by_rule("waiters", no_place.to_string()).retry_after(1).hint("ask without `wait`, or later")
    }
}

impl From<NoRoom> for Problem {
    fn from(no_room: NoRoom) -> Self {
        let (rule, hint) = match no_room {
            NoRoom::SenderShare => {
                ("sender-share", "send more once the recipient has read, or what waits has expired")
            }
            NoRoom::BareShare => {
                ("bare-share", "register the DID: registered senders have shares of their own")
            }
            NoRoom::MailboxFull => ("mailbox-full", "the recipient has to read and acknowledge first"),
            NoRoom::AddressShare => ("address-share", "send more once recipients have read"),
            NoRoom::RelayFull => ("relay-full", "send it again later: nothing that was taken is lost"),
        };
        by_rule(rule, no_room.to_string()).retry_after(60).hint(hint)
    }
}

impl From<Unavailable> for Problem {
    fn from(unavailable: Unavailable) -> Self {
        let (rule, seconds) = match unavailable {
            Unavailable::Closed => ("relay", 10),
            Unavailable::Busy | Unavailable::Stopping => ("relay", 1),
            Unavailable::DiskFloor => ("relay-full", 60),
        };
        let problem = by_rule(rule, unavailable.to_string()).retry_after(seconds);
        problem.hint("send it again later: nothing that was taken is lost, and nothing is stored twice")
    }
}

impl From<NotDelivered> for Problem {
    fn from(not_delivered: NotDelivered) -> Self {
        match not_delivered {
            NotDelivered::NoRoom(no_room) => no_room.into(),
            NotDelivered::Unavailable(unavailable) => unavailable.into(),
        }
    }
}

impl From<NotSet> for Problem {
    fn from(not_set: NotSet) -> Self {
        match not_set {
            NotSet::Older => by_rule("settings-order", not_set.to_string())
                .hint("sign the settings again, with the time of now, if they shall hold"),
            NotSet::Full => NoRoom::RelayFull.into(),
        }
    }
}
