//! What is sent: statements of 1 KiB, signed by 1,000 pipelines before any clock runs.

use std::sync::Arc;
use std::thread;

use attestation::entry::Visibility;
use attestation::event::{Capabilities, Commitment, Event, IdentityEvent, PendingEvent};
use attestation::receipt::{Signers, Verdict, VerifyPolicy};
use serde_json::{Value, json};
use testkit::load::{Outcome, Requests};
use testkit::log::ORIGIN;
use testkit::signer::{Signed, Signer};
use tlog::Hash;
use tlog::encoding::base64;
use tlog::policy::Policy;

/// Signed statements. The same ones go to a new log in every round.
pub struct Corpus {
    signers: Vec<Signer>,
    signed: Vec<Signed>,
}

/// How an entry is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// The claim alone: one signature to check.
    ByHash,
    /// With its envelope: two.
    Published,
}

impl Form {
    /// As a row of a table says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ByHash => "by hash",
            Self::Published => "published",
        }
    }
}

impl Corpus {
    /// Signs so many statements, each about an artifact of its own.
    pub fn sign(count: usize) -> Self {
        let signers: Vec<Signer> = (0..SIGNERS).map(Signer::new).collect();
        let padding = STATEMENT_BYTES
            - signers[0].sign(ORIGIN, b"", Visibility::Public, 0).envelope.unverified_payload().len();
        let sign = |number: usize| {
            let content = format!("artifact {number}");
            signers[number % signers.len()].sign(ORIGIN, content.as_bytes(), Visibility::Public, padding)
        };
        let half = count / 2;
        let (mut signed, rest) = thread::scope(|scope| {
            let rest = scope.spawn(|| (half..count).map(sign).collect::<Vec<_>>());
            ((0..half).map(sign).collect::<Vec<_>>(), rest.join().expect("signing does not panic"))
        });
        signed.extend(rest);
        Self { signers, signed }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.signed.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.signed.is_empty()
    }

    /// The requests that submit them, `batch` a request; 1 sends each alone.
    pub fn requests(&self, form: Form, batch: usize) -> Arc<Requests> {
        let mut requests = Requests::default();
        let json = |signed: &Signed| match form {
            Form::ByHash => signed.by_hash().to_string(),
            Form::Published => signed.published().to_string(),
        };
        for signed in self.signed.chunks(batch) {
            let bodies: Vec<String> = signed.iter().map(json).collect();
            let body = if batch == 1 { bodies[0].clone() } else { format!("[{}]", bodies.join(",")) };
            requests.post("/api/v1/entries", body.as_bytes());
        }
        Arc::new(requests)
    }

    /// The submissions that register all signers.
    pub fn inceptions(&self) -> Value {
        let inception = |signer: &Signer| {
            let of = |name: &str| Commitment::new(Hash::of(format!("{name} of {}", signer.did()).as_bytes()));
            let event = IdentityEvent::Inception {
                key: *signer.key.public_key().as_bytes(),
                next: of("next"),
                recovery: of("recovery"),
                capabilities: Capabilities::PIPELINE,
                public_name: None,
            };
            let event = Event::about_itself(signer.did(), ORIGIN, event).expect("an event");
            let event = PendingEvent::sign(event, &[&signer.key]).expect("it fits");
            json!({"leaf": base64(&event.to_bytes())})
        };
        self.signers.iter().map(inception).collect()
    }

    /// Requests of 1 KiB for a log that asks for no signature.
    pub fn plain_requests(&self) -> Arc<Requests> {
        let mut requests = Requests::default();
        for signed in &self.signed {
            let payload = signed.envelope.unverified_payload();
            requests.post("/add", &payload[..STATEMENT_BYTES]);
        }
        Arc::new(requests)
    }

    /// One of them, and who signed it.
    pub fn get(&self, number: usize) -> (&Signer, &Signed) {
        (&self.signers[number % self.signers.len()], &self.signed[number])
    }

    /// Makes receipts of the answers that were kept, and verifies them offline. Answers how many.
    ///
    /// # Panics
    /// If one does not verify: a log that answers anything else is not worth timing.
    pub fn check_receipts(&self, outcome: &Outcome, batch: usize, policy: &Policy) -> usize {
        let mut checked = 0;
        for (number, body) in &outcome.samples {
            let answer: Value = serde_json::from_slice(body).expect("the log answers JSON");
            let answers =
                if batch == 1 { vec![answer] } else { answer.as_array().cloned().unwrap_or_default() };
            for (answer, at) in answers.iter().zip(number * batch..) {
                let (signer, signed) = self.get(at);
                let verify = VerifyPolicy::new(policy, Signers::OneOf(vec![signer.did()]));
                let report = signed.receipt(signer, answer).verify(&verify, &signed.artifact, None);
                assert_eq!(report.verdict(), Verdict::Verified, "{report:?}");
                checked += 1;
            }
        }
        checked
    }
}

const SIGNERS: u64 = 1_000;
const STATEMENT_BYTES: usize = 1_024;
