//! The budgets of the relay, as the operator sets them: `[settings.mail]` of `log.toml`, and the flags `--mail-…`.

use serde::{Deserialize, Serialize};

use super::index::{Limits, Room};

/// Budgets of the relay, each with a default. Each flag has an id of its own: clap would take fields of one name in two
/// structures for one flag.
#[derive(clap::Args, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MailSettings {
    /// Messages that a client address may send a minute, 0 for no limit [default: 600]
    #[arg(
        id = "mail-address-sends-per-minute",
        long = "mail-address-sends-per-minute",
        env = "AIP_LOG_MAIL_ADDRESS_SENDS_PER_MINUTE",
        value_name = "MESSAGES"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_sends_per_minute: Option<u32>,
    /// Messages that a DID may send a minute, 0 for no limit [default: 60]
    #[arg(
        id = "mail-did-sends-per-minute",
        long = "mail-did-sends-per-minute",
        env = "AIP_LOG_MAIL_DID_SENDS_PER_MINUTE",
        value_name = "MESSAGES"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub did_sends_per_minute: Option<u32>,
    /// Messages that a DID may send a day, 0 for no limit [default: 2000]
    #[arg(
        id = "mail-did-sends-per-day",
        long = "mail-did-sends-per-day",
        env = "AIP_LOG_MAIL_DID_SENDS_PER_DAY",
        value_name = "MESSAGES"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub did_sends_per_day: Option<u32>,
    /// Requests to read, acknowledge or set a mailbox that a client address may send a minute, 0 for no limit [default: 240]
    #[arg(
        id = "mail-address-lists-per-minute",
        long = "mail-address-lists-per-minute",
        env = "AIP_LOG_MAIL_ADDRESS_LISTS_PER_MINUTE",
        value_name = "REQUESTS"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_lists_per_minute: Option<u32>,
    /// Most messages of one sender that wait in one mailbox [default: 100]
    #[arg(
        id = "mail-sender-messages",
        long = "mail-sender-messages",
        env = "AIP_LOG_MAIL_SENDER_MESSAGES",
        value_name = "MESSAGES"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender_messages: Option<usize>,
    /// Most bytes of one sender that wait in one mailbox [default: 4194304]
    #[arg(
        id = "mail-sender-bytes",
        long = "mail-sender-bytes",
        env = "AIP_LOG_MAIL_SENDER_BYTES",
        value_name = "BYTES"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender_bytes: Option<u64>,
    /// Most messages of all senders that are not registered that wait in one mailbox [default: 100]
    #[arg(
        id = "mail-bare-messages",
        long = "mail-bare-messages",
        env = "AIP_LOG_MAIL_BARE_MESSAGES",
        value_name = "MESSAGES"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bare_messages: Option<usize>,
    /// Most bytes of all senders that are not registered that wait in one mailbox [default: 2097152]
    #[arg(
        id = "mail-bare-bytes",
        long = "mail-bare-bytes",
        env = "AIP_LOG_MAIL_BARE_BYTES",
        value_name = "BYTES"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bare_bytes: Option<u64>,
    /// Most messages that wait in one mailbox [default: 1000]
    #[arg(
        id = "mail-mailbox-messages",
        long = "mail-mailbox-messages",
        env = "AIP_LOG_MAIL_MAILBOX_MESSAGES",
        value_name = "MESSAGES"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mailbox_messages: Option<usize>,
    /// Most bytes that wait in one mailbox [default: 33554432]
    #[arg(
        id = "mail-mailbox-bytes",
        long = "mail-mailbox-bytes",
        env = "AIP_LOG_MAIL_MAILBOX_BYTES",
        value_name = "BYTES"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mailbox_bytes: Option<u64>,
    /// Most bytes that wait in all mailboxes; an address has no more than a quarter of what it leaves for others [default: 1073741824]
    #[arg(id = "mail-bytes", long = "mail-bytes", env = "AIP_LOG_MAIL_BYTES", value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Free disk space below which no message is taken [default: twice that of the log]
    #[arg(
        id = "mail-disk-floor-bytes",
        long = "mail-disk-floor-bytes",
        env = "AIP_LOG_MAIL_DISK_FLOOR_BYTES",
        value_name = "BYTES"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_floor_bytes: Option<u64>,
    /// Most requests that wait for mail; an address has no more than a quarter of what it leaves for others [default: 1000]
    #[arg(id = "mail-waiters", long = "mail-waiters", env = "AIP_LOG_MAIL_WAITERS", value_name = "REQUESTS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiters: Option<usize>,
    /// Most requests that wait for mail of one mailbox [default: 2]
    #[arg(
        id = "mail-mailbox-waiters",
        long = "mail-mailbox-waiters",
        env = "AIP_LOG_MAIL_MAILBOX_WAITERS",
        value_name = "REQUESTS"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mailbox_waiters: Option<usize>,
}

impl MailSettings {
    /// These settings, with `file`'s where there is none.
    #[must_use]
    pub fn or(self, file: Self) -> Self {
        Self {
            address_sends_per_minute: self.address_sends_per_minute.or(file.address_sends_per_minute),
            did_sends_per_minute: self.did_sends_per_minute.or(file.did_sends_per_minute),
            did_sends_per_day: self.did_sends_per_day.or(file.did_sends_per_day),
            address_lists_per_minute: self.address_lists_per_minute.or(file.address_lists_per_minute),
            sender_messages: self.sender_messages.or(file.sender_messages),
            sender_bytes: self.sender_bytes.or(file.sender_bytes),
            bare_messages: self.bare_messages.or(file.bare_messages),
            bare_bytes: self.bare_bytes.or(file.bare_bytes),
            mailbox_messages: self.mailbox_messages.or(file.mailbox_messages),
            mailbox_bytes: self.mailbox_bytes.or(file.mailbox_bytes),
            bytes: self.bytes.or(file.bytes),
            disk_floor_bytes: self.disk_floor_bytes.or(file.disk_floor_bytes),
            waiters: self.waiters.or(file.waiters),
            mailbox_waiters: self.mailbox_waiters.or(file.mailbox_waiters),
        }
    }

    /// Whether nothing is set.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// How much may wait.
    pub fn limits(&self) -> Limits {
        Limits {
            sender: Room {
                messages: self.sender_messages.unwrap_or(100),
                bytes: self.sender_bytes.unwrap_or(4 << 20),
            },
            bare: Room {
                messages: self.bare_messages.unwrap_or(100),
                bytes: self.bare_bytes.unwrap_or(2 << 20),
            },
            mailbox: Room {
                messages: self.mailbox_messages.unwrap_or(1_000),
                bytes: self.mailbox_bytes.unwrap_or(32 << 20),
            },
            bytes: self.bytes.unwrap_or(1 << 30),
        }
    }
}
