//! What clients were promised, and whether the log keeps it.

use attestation::receipt::{Signers, Verdict, VerifyPolicy};
use serde_json::Value;
use testkit::log::Log;
use testkit::oracle::check_log;
use testkit::signer::{Signed, Signer};
use tlog::Hash;
use tlog::encoding::base64;

use crate::frame::Findings;

/// What clients were promised.
#[derive(Default)]
pub struct Promised {
    /// What was signed, and the answer.
    pub receipts: Vec<(Signed, Value)>,
    /// Claims that were answered `committed`.
    pub committed: Vec<Hash>,
}

impl Promised {
    /// Submits one entry after the other until something else than a promise comes, or nothing; answers that. `prefer`: RFC
    /// 7240.
    pub fn load(
        &mut self,
        log: &Log,
        prefer: &str,
        mut content: impl FnMut() -> Option<Signed>,
    ) -> Option<(u16, Value)> {
        while let Some(signed) = content() {
            let request = log.http().post(format!("{}/api/v1/entries", log.url())).json(&signed.published());
            let response = request.header("prefer", prefer).send().ok()?;
            let status = response.status().as_u16();
            let answer: Value = response.json().ok()?;
            match status {
                200 => self.receipts.push((signed, answer)),
                202 => self.committed.push(signed.claim()),
                _ => return Some((status, answer)),
            }
        }
        None
    }

    /// Takes over what another client was promised.
    pub fn append(&mut self, other: Self) {
        self.receipts.extend(other.receipts);
        self.committed.extend(other.committed);
    }

    /// How many promises there are.
    pub fn len(&self) -> usize {
        self.receipts.len() + self.committed.len()
    }

    /// Whether nothing was promised.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every promise is kept by the log as it is now: the same index, the same leaf, provable.
    pub fn check_kept(&self, log: &Log, signer: &Signer, findings: &Findings) {
        let seen = check_log(log);
        for (signed, promised) in &self.receipts {
            // A receipt that does not verify is no promise kept.
            findings.require(verifies(log, signer, signed, promised), || {
                format!("a receipt of entry {} does not verify", promised["index"])
            });
            let (status, answer) = log.json(&format!("/api/v1/claims/{}", signed.claim()));
            let is_kept = status == 200
                && (&answer["index"], &answer["leaf"]) == (&promised["index"], &promised["leaf"])
                && verifies(log, signer, signed, &answer);
            findings.require(is_kept, || format!("entry {} was promised: {answer}", promised["index"]));
            let leaf = promised["index"].as_u64().and_then(|index| seen.leaves.get(index as usize));
            findings.require(leaf.is_some_and(|leaf| promised["leaf"] == base64(leaf)), || {
                format!("entry {} has another leaf than was promised", promised["index"])
            });
        }
        for claim in &self.committed {
            findings.require(log.json(&format!("/api/v1/claims/{claim}")).0 == 200, || {
                format!("claim {claim} was committed, and is not published")
            });
        }
    }
}

/// Whether what a log answered makes a receipt that verifies.
pub fn verifies(log: &Log, signer: &Signer, signed: &Signed, answer: &Value) -> bool {
    let policy = log.policy();
    let verify = VerifyPolicy::new(&policy, Signers::OneOf(vec![signer.did()]));
    signed.receipt(signer, answer).verify(&verify, &signed.artifact, None).verdict() == Verdict::Verified
}
