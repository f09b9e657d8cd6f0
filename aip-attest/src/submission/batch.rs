//! What is sent in one request: as much as the interface allows, and less if the log wants less.

use attestation::api::Submission;
use attestation::receipt::Receipt;
use serde_json::value::RawValue;
use tlog::encoding;

use crate::report::Console;

/// The most submissions in a request, and the longest request (`specs/http.md`).
const MAX_BATCH: usize = 1000;
const MAX_BATCH_BYTES: usize = 16 << 20;

/// The longest envelope that a log publishes; a longer one is logged by hash.
const MAX_ENVELOPE_BYTES: usize = 1 << 20;

/// How far a submission has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Sending {
    /// To be sent, in this round if it was not yet.
    Waiting { sent: bool },
    /// The log has committed to it.
    Committed,
    /// Nothing more is sent.
    Ended,
}

/// All submissions, in the order of their jobs.
pub(super) struct Sendings {
    items: Vec<Item>,
    max_batch: usize,
}

struct Item {
    leaf: String,
    /// Absent if the entry is logged by hash.
    envelope: Option<Box<RawValue>>,
    sending: Sending,
}

impl Sendings {
    /// The submissions of these receipts, all waiting.
    pub(super) fn new<'r>(receipts: impl Iterator<Item = &'r Receipt>, console: &mut Console) -> Self {
        let items = receipts.map(|receipt| Item::new(receipt, console)).collect();
        Self { items, max_batch: MAX_BATCH }
    }

    /// The next submissions to send together, as positions and as the JSON array of them: at least one, and no more
    /// bytes than `most` else.
    pub(super) fn next_batch(&mut self, most: usize) -> Option<(Vec<usize>, String)> {
        let (mut batch, mut body) = (Vec::new(), String::from("["));
        for (at, item) in self.items.iter_mut().enumerate() {
            if item.sending != (Sending::Waiting { sent: false }) {
                continue;
            }
            let comma = usize::from(!batch.is_empty());
            let json = item.to_json();
            let is_full = body.len() + comma + json.len() + 1 > MAX_BATCH_BYTES.min(most);
            if batch.len() == self.max_batch || (is_full && !batch.is_empty()) {
                break;
            }
            if comma == 1 {
                body.push(',');
            }
            body.push_str(&json);
            item.sending = Sending::Waiting { sent: true };
            batch.push(at);
        }
        body.push(']');
        (!batch.is_empty()).then_some((batch, body))
    }

    /// Makes everything that still waits ready for the next round.
    pub(super) fn end_round(&mut self) {
        for item in &mut self.items {
            if let Sending::Waiting { sent } = &mut item.sending {
                *sent = false;
            }
        }
    }

    pub(super) fn set(&mut self, at: usize, sending: Sending) {
        self.items[at].sending = sending;
    }

    /// The positions that the log has committed to.
    pub(super) fn committed(&self) -> Vec<usize> {
        let is_committed = |at: &usize| self.items[*at].sending == Sending::Committed;
        (0..self.items.len()).filter(is_committed).collect()
    }

    /// Logs one by hash instead; false if it already is.
    pub(super) fn drop_envelope(&mut self, at: usize) -> bool {
        self.items[at].envelope.take().is_some()
    }

    /// After the log found a batch too large: smaller batches from now on, or a single one by hash. False if
    /// there is nothing left to make smaller.
    pub(super) fn make_smaller(&mut self, batch: &[usize]) -> bool {
        let smaller = match batch {
            [only] => self.drop_envelope(*only),
            _ => {
                self.max_batch = batch.len().div_ceil(2);
                true
            }
        };
        if smaller {
            for at in batch {
                self.items[*at].sending = Sending::Waiting { sent: false };
            }
        }
        smaller
    }
}

impl Item {
    fn new(receipt: &Receipt, console: &mut Console) -> Self {
        let entry = receipt.pending_entry().expect("a job has an entry");
        let is_public = entry.claim().listing().is_some();
        let envelope = is_public.then(|| receipt.envelope().to_json());
        let envelope = envelope.map(|json| RawValue::from_string(json).expect("an envelope is JSON"));
        let too_long =
            envelope.as_ref().map(|json| json.get().len()).filter(|length| *length > MAX_ENVELOPE_BYTES);
        if let Some(length) = too_long {
            console.note(format!(
                "an envelope of {length} bytes is too large to publish (more than {MAX_ENVELOPE_BYTES}): \
                 logged by hash, so keep the receipt"
            ));
        }
        Self {
            leaf: encoding::base64(&entry.to_bytes()),
            envelope: envelope.filter(|_| too_long.is_none()),
            sending: Sending::Waiting { sent: false },
        }
    }

    fn to_json(&self) -> String {
        let submission = Submission { leaf: (&*self.leaf).into(), envelope: self.envelope.as_deref() };
        serde_json::to_string(&submission).expect("a text and JSON are JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sendings(envelopes: &[usize]) -> Sendings {
        let item = |length: &usize| Item {
            leaf: "e30=".to_owned(),
            envelope: (*length > 0)
                .then(|| RawValue::from_string(format!("\"{}\"", "x".repeat(*length))).expect("a text")),
            sending: Sending::Waiting { sent: false },
        };
        Sendings { items: envelopes.iter().map(item).collect(), max_batch: MAX_BATCH }
    }

    fn batches(sendings: &mut Sendings) -> Vec<usize> {
        std::iter::from_fn(|| sendings.next_batch(MAX_BATCH_BYTES))
            .map(|(batch, body)| {
                assert!(body.len() <= MAX_BATCH_BYTES);
                let array: Vec<serde_json::Value> = serde_json::from_str(&body).expect("an array");
                assert_eq!(array.len(), batch.len());
                batch.len()
            })
            .collect()
    }

    #[test]
    fn batches_keep_both_limits() {
        assert_eq!(batches(&mut sendings(&[0; 2500])), [1000, 1000, 500]);
        assert_eq!(batches(&mut sendings(&[1_000_000; 40])), [16, 16, 8]);
        assert_eq!(batches(&mut sendings(&[])), [0; 0]);
    }

    #[test]
    fn a_log_that_wants_less_gets_less() {
        let mut sendings = sendings(&[10; 4]);
        let (batch, _) = sendings.next_batch(MAX_BATCH_BYTES).expect("a batch");
        assert!(sendings.make_smaller(&batch));
        assert_eq!(batches(&mut sendings), [2, 2]);
        sendings.end_round();
        assert!(sendings.make_smaller(&[0]), "by hash");
        assert!(!sendings.make_smaller(&[0]), "nothing is left");
    }
}
