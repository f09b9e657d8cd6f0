//! From pending receipts to logged ones: batches, retries, and the check of every answer.
//!
//! What is sent lies on disk before it is sent, so that a process that dies, or a log that does not answer,
//! leaves something that can be sent again, byte for byte. A receipt is written once the answer has passed
//! every check that `verify` makes: a log that lies is found out here and not by whoever downloads. One that
//! publishes below the policy's quorum is asked again until the cosignatures have come or the time is up, unless
//! it says itself that it does not ask the witnesses that would have to sign.

mod batch;
mod pace;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

use attestation::Did;
use attestation::entry::DsseEntry;
use attestation::receipt::{Check, Fault, IdentityEvent, Receipt, Report, Signers, Verdict, VerifyPolicy};
use rayon::prelude::*;
use tlog::key::VerifierKey;
use tlog::policy::{Policy, PolicyError, Witness};
use tlog::proof::TlogProof;

use crate::client::{Answer, ClientError, LoggedAnswer, Problem, ProvedLeaf};
use crate::contact::Contact;
use crate::patience::Patience;
use crate::progress::Progress;
use crate::receipt_file::{self, Place};
use crate::report::{Console, Exit, Failure, Result};
use batch::{Sending, Sendings};
use pace::Pace;

/// A pending receipt on its way.
pub(crate) struct Job {
    /// The receipt; pending, or logged and to be refreshed.
    pub receipt: Receipt,
    /// Its places; several if several artifacts share it.
    pub places: Vec<Place>,
}

/// What became of a job.
pub(crate) enum Outcome {
    /// The receipt is logged, verified and written to these files, one a place.
    Logged(Box<Receipt>, Vec<PathBuf>),
    /// The receipt is left as it was, and why.
    Left(Failure),
    /// As [`Outcome::Left`], and this log never takes its entry: the DID has another key by now, or none.
    Refused(Failure),
}

impl Outcome {
    /// Why the receipt is left as it was, if it is.
    pub(crate) fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Logged(..) => None,
            Self::Left(failure) | Self::Refused(failure) => Some(failure),
        }
    }

    /// The receipt, if it is logged.
    pub(crate) fn receipt(&self) -> Option<&Receipt> {
        match self {
            Self::Logged(receipt, _) => Some(receipt),
            Self::Left(_) | Self::Refused(_) => None,
        }
    }

    /// The exit code it leads to.
    pub(crate) fn exit(&self) -> Exit {
        self.failure().map_or(Exit::Yes, Failure::exit)
    }
}

/// Says what the bare DIDs of receipts lack that the log `origin` just gave, once for each.
pub(crate) fn tell_of_bare<'r>(
    receipts: impl Iterator<Item = &'r Receipt>,
    origin: &str,
    console: &mut Console,
) {
    let is_bare = |receipt: &&Receipt| receipt.log_answer().is_some_and(|logged| logged.identity.is_empty());
    let bare: BTreeSet<Did> = receipts.filter(is_bare).map(Receipt::did).collect();
    for did in bare {
        console.note(format!(
            "{did} is not registered in `{origin}`: receipts verify, and no gate lets them pass; \
             `aip-attest init --register` on the machine that holds its next key changes that"
        ));
    }
}

/// Submits `jobs`, whose receipts name the target's log, and waits for their receipts until `deadline`. One
/// outcome for each job, in their order.
pub(crate) fn submit(jobs: &[Job], contact: Contact<'_>, console: &mut Console) -> Vec<Outcome> {
    let mut round = Round {
        jobs,
        contact,
        sendings: Sendings::new(jobs.iter().map(|job| &job.receipt), console),
        outcomes: jobs.iter().map(|_| None).collect(),
        progress: Progress::over_entries(jobs.len()),
        asked: None,
        pace: Pace::default(),
        wait: Wait::default(),
    };
    let mut patience = Patience::until(contact.deadline);
    loop {
        round.ask_for_committed(console);
        round.send(console);
        if round.is_done() {
            break;
        }
        let wait = std::mem::take(&mut round.wait);
        let why = wait.why.as_deref().unwrap_or("the log has not answered yet");
        if !patience.pause(wait.at_least, console, why) {
            round.give_up(why, wait.hint.as_deref());
            break;
        }
    }
    round.progress.finish();
    round.outcomes.into_iter().map(|outcome| outcome.expect("every job has ended")).collect()
}

/// All jobs, and how far each has come.
struct Round<'a> {
    jobs: &'a [Job],
    contact: Contact<'a>,
    sendings: Sendings,
    outcomes: Vec<Option<Outcome>>,
    progress: Progress,
    /// The keys of the witnesses that the log asks, by its own policy, once that was looked at; none if it
    /// publishes no policy.
    asked: Option<Option<Vec<VerifierKey>>>,
    pace: Pace,
    wait: Wait,
}

/// Why the round waits, how long at least, and what the log says to do about it.
#[derive(Default)]
struct Wait {
    at_least: Option<std::time::Duration>,
    why: Option<String>,
    hint: Option<String>,
}

impl Wait {
    fn note(&mut self, at_least: Option<std::time::Duration>, why: impl FnOnce() -> String) {
        self.at_least = self.at_least.max(at_least);
        self.why.get_or_insert_with(why);
    }

    /// Waits because the log says so.
    fn note_problem(&mut self, at_least: Option<std::time::Duration>, before: &str, problem: &Problem) {
        self.note(at_least, || format!("{before}{problem}"));
        self.hint = self.hint.take().or_else(|| problem.hint.clone());
    }
}

impl Round<'_> {
    fn is_done(&self) -> bool {
        self.outcomes.iter().all(Option::is_some)
    }

    /// Sends what waits, batch by batch.
    fn send(&mut self, console: &mut Console) {
        let client = &self.contact.target.client;
        while let Some((batch, body)) = self.sendings.next_batch(self.pace.bytes_in(client.left())) {
            let (bytes, start) = (body.len(), Instant::now());
            match client.submit(body, batch.len()) {
                Ok(answers) => {
                    self.pace.took(bytes, start.elapsed());
                    self.take(batch.into_iter().zip(answers), console);
                }
                Err(error) => {
                    self.take_error(&batch, error, console);
                    if self.wait.why.is_some() {
                        // What holds for this batch holds for the next one.
                        break;
                    }
                }
            }
        }
        self.sendings.end_round();
    }

    /// Asks for the claims that the log has committed to.
    fn ask_for_committed(&mut self, console: &mut Console) {
        let committed = self.sendings.committed();
        let ask = |at: &usize| {
            let entry = self.jobs[*at].receipt.pending_entry().expect("a job has an entry");
            (*at, self.contact.target.client.claim(&entry.claim().hash().get()))
        };
        let answers: Vec<_> = match committed.len() {
            1 => committed.iter().map(ask).collect(),
            _ => committed.par_iter().map(ask).collect(),
        };
        let mut taken = Vec::new();
        for (at, answer) in answers {
            match answer {
                Ok(answer) => taken.push((at, answer)),
                Err(error) => match error.retry() {
                    Some(retry_after) => self.wait.note(retry_after, || error.one_line()),
                    // It was committed to, so that nothing else is sent: this is the log's fault.
                    None => self.end(at, Outcome::Left(pending(error.into()))),
                },
            }
        }
        self.take(taken, console);
    }

    /// Takes the answers to one request.
    fn take(&mut self, answers: impl IntoIterator<Item = (usize, Answer)>, console: &mut Console) {
        let mut logged = Vec::new();
        for (at, answer) in answers {
            match answer {
                Answer::Logged(answer) => logged.push((at, answer)),
                Answer::Committed { problem, retry_after } => {
                    self.sendings.set(at, Sending::Committed);
                    let why = "the log has committed to the entries and not yet published them";
                    match problem {
                        None => self.wait.note(retry_after, || why.to_owned()),
                        Some(problem) => self.wait.note_problem(retry_after, &format!("{why}: "), &problem),
                    }
                }
                Answer::Unavailable { problem, retry_after } => {
                    self.wait.note_problem(retry_after, "the log answers ", &problem);
                }
                Answer::Refused(problem)
                    if problem.is_about_envelope() && self.sendings.drop_envelope(at) =>
                {
                    console
                        .note("the envelope is too large for the log: logged by hash, so keep the receipt");
                    self.wait.note(None, || "the envelope is too large for the log".to_owned());
                }
                Answer::Refused(problem) => self.end(at, refused(&problem)),
            }
        }
        self.take_logged(&logged, console);
    }

    /// Verifies what makes receipts, and writes what passed every check before more is asked.
    fn take_logged(&mut self, answers: &[(usize, Box<LoggedAnswer>)], console: &mut Console) {
        let check = |(at, answer): &(usize, Box<LoggedAnswer>)| {
            (*at, accept(&self.jobs[*at].receipt, answer, self.contact))
        };
        let checked: Vec<_> = answers.par_iter().map(check).collect();
        let mut passed = Vec::new();
        for (at, accepted) in checked {
            match accepted {
                Ok(Accepted::Receipt(receipt)) => passed.push((at, *receipt, None)),
                Ok(Accepted::Refuted(receipt, failure)) => passed.push((at, *receipt, Some(failure))),
                Ok(Accepted::BelowQuorum { why, cosigned }) => match self.is_out_of_reach(&cosigned) {
                    Some(who) => self.end(at, Outcome::Left(pending(self.never_cosigned(&why, &who)))),
                    None => {
                        // It is logged. What is missing may come: the next answer has the cosignatures of then.
                        self.sendings.set(at, Sending::Committed);
                        self.wait.note(None, || why);
                    }
                },
                Err(failure) => self.end(at, Outcome::Left(failure)),
            }
        }
        let jobs = self.jobs;
        let files: Vec<(&Place, &Receipt)> = passed
            .iter()
            .flat_map(|(at, receipt, _)| jobs[*at].places.iter().map(move |place| (place, receipt)))
            .collect();
        let mut written = receipt_file::write_all(&files, console).map(Vec::into_iter);
        for (at, receipt, refuted) in passed {
            let outcome = match (&mut written, refuted) {
                (Err(failure), _) => Outcome::Left(failure.clone()),
                (Ok(written), refuted) => {
                    let written = written.by_ref().take(jobs[at].places.len());
                    let paths = written.map(|written| written.path().to_path_buf()).collect();
                    refuted.map_or(Outcome::Logged(Box::new(receipt), paths), Outcome::Left)
                }
            };
            self.end(at, outcome);
        }
    }

    /// The witnesses without which the quorum stays out of reach, if it does: those that have not signed and that
    /// the log does not ask. A log that publishes no policy may ask anybody.
    fn is_out_of_reach(&mut self, cosigned: &[String]) -> Option<String> {
        let client = &self.contact.target.client;
        let asked = self.asked.get_or_insert_with(|| {
            let policy: Policy = client.policy().ok()?.parse().ok()?;
            Some(policy.witnesses().iter().map(|witness| witness.vkey.clone()).collect())
        });
        let asked = asked.as_ref()?;
        let policy = &self.contact.target.judge.policy;
        let may_sign = |witness: &Witness| asked.contains(&witness.vkey) || cosigned.contains(&witness.name);
        if policy.is_met_by(may_sign) {
            return None;
        }
        let others = policy.witnesses().iter().filter(|witness| !may_sign(witness));
        Some(others.map(|witness| format!("`{}`", witness.name)).collect::<Vec<_>>().join(", "))
    }

    fn never_cosigned(&self, why: &str, who: &str) -> Failure {
        let url = self.contact.target.client.url();
        Failure::new(format!("`{url}` does not ask the witnesses that the policy needs"))
            .because(why)
            .because(format!("the log's own policy does not name {who}"))
            .hint("judge it by the policy that it publishes (`aip-attest policy pin`), or have its operator add them")
    }

    fn take_error(&mut self, batch: &[usize], error: ClientError, console: &mut Console) {
        if let Some(retry_after) = error.retry() {
            match &error {
                ClientError::Refused { problem, .. } => {
                    self.wait.note_problem(retry_after, "the log answers ", problem);
                }
                other => {
                    self.wait.note(retry_after, || other.one_line());
                    self.wait.hint = self.wait.hint.take().or_else(|| other.hint());
                }
            }
            if error.is_for_length() {
                self.pace.was_cut();
                if batch.len() > 1 {
                    // A budget, or the patience of somebody in between, may be smaller than the batch, so that all of
                    // it at once never fits.
                    self.sendings.make_smaller(batch);
                }
            }
            return;
        }
        let too_long = matches!(&error, ClientError::TooLong { .. }) && batch.len() > 1;
        if (error.status() == Some(413) || too_long) && self.sendings.make_smaller(batch) {
            if batch.len() == 1 {
                console.note("the envelope is too large for the log: logged by hash, so keep the receipt");
            }
            return;
        }
        if let ClientError::Refused { problem, .. } = &error {
            batch.iter().for_each(|at| self.end(*at, refused(problem)));
            return;
        }
        let failure = pending(error.into());
        batch.iter().for_each(|at| self.end(*at, Outcome::Left(failure.clone())));
    }

    fn give_up(&mut self, why: &str, hint: Option<&str>) {
        for at in 0..self.jobs.len() {
            if self.outcomes[at].is_none() {
                let failure = Failure::new("the log gave no receipt in time").because(why).for_now();
                let failure = hint.into_iter().fold(failure, Failure::hint);
                self.end(at, Outcome::Left(pending(failure)));
            }
        }
    }

    fn end(&mut self, at: usize, outcome: Outcome) {
        self.sendings.set(at, Sending::Ended);
        self.progress.add(1);
        self.outcomes[at] = Some(outcome);
    }
}

/// What an answer is good for that is no lie.
enum Accepted {
    /// A receipt that passed every check.
    Receipt(Box<Receipt>),
    /// The log tells the truth, and it is against the signer: what the receipt says is worth nothing any more.
    Refuted(Box<Receipt>, Failure),
    /// All is well but for the number of witnesses: in words, and who has signed.
    BelowQuorum { why: String, cosigned: Vec<String> },
}

/// Whether a receipt that was not sent holds by the policy of the log: what lies on a disk may be anybody's.
pub(crate) fn holds(receipt: &Receipt, contact: Contact<'_>) -> bool {
    judge(receipt, contact).verdict() == Verdict::Verified
}

fn judge(receipt: &Receipt, Contact { target, pins, .. }: Contact<'_>) -> Report {
    let demands = VerifyPolicy {
        policy: &target.judge.policy,
        signers: Signers::OneOf(vec![receipt.did()]),
        pins: pins.roots(),
        demands: Vec::new(),
    };
    let digest = receipt.statement().subjects()[0].sha256;
    receipt.verify(&demands, &digest, None)
}

/// Makes a receipt of an answer, and verifies it as anybody would.
fn accept(sent: &Receipt, answer: &LoggedAnswer, contact: Contact<'_>) -> Result<Accepted> {
    let target = contact.target;
    let broken = |why: String| {
        Failure::refuted(format!("the answer of `{}` does not verify", target.client.url()))
            .because(why)
            .hint("the receipt stays as it was; ask whoever runs the log")
    };
    let entry = DsseEntry::parse(&answer.leaf).map_err(|error| broken(error.to_string()))?;
    if Some(entry.pending()) != sent.pending_entry() {
        return Err(broken("the leaf is not the entry that was sent".to_owned()));
    }
    let proof = TlogProof::parse(&answer.proof).map_err(|error| broken(error.to_string()))?;
    let identity = proved_events(&answer.identity).map_err(&broken)?;
    let receipt = sent
        .clone()
        .logged(entry, proof, answer.sigstore_note.clone())
        .and_then(|receipt| receipt.with_identity(identity))
        .map_err(|error| broken(error.to_string()))?;
    let report = judge(&receipt, contact);
    if let Some((_, Fault::WitnessQuorum(error @ PolicyError::Quorum { cosigned, .. }))) = report.fault() {
        let source = &target.judge.source;
        let why = format!("the log answers below the quorum of the policy {source}: {error}");
        return Ok(Accepted::BelowQuorum { why, cosigned: cosigned.clone() });
    }
    if let Some((Check::SignerState, fault @ (Fault::SignerState { .. } | Fault::Void { .. }))) =
        report.fault()
    {
        let failure = Failure::refuted("the entry does not count for its signer")
            .because(fault)
            .hint("the receipt says so now; `aip-attest whoami` shows the state of your own DID");
        return Ok(Accepted::Refuted(Box::new(receipt), failure));
    }
    if report.verdict() != Verdict::Verified {
        let why = report.fault().map(|(check, fault)| format!("{check}: {fault}"));
        return Err(broken(why.unwrap_or_default()));
    }
    // What is written is read by others: it has to be read back as what was verified.
    if Receipt::parse(receipt.to_json().as_bytes()).as_ref() != Ok(&receipt) {
        return Err(broken("the receipt does not read as it was written".to_owned()));
    }
    Ok(Accepted::Receipt(Box::new(receipt)))
}

/// A DID's identity events as a log answers them, read. What they say is verified later.
pub(crate) fn proved_events(answer: &[ProvedLeaf]) -> Result<Vec<IdentityEvent>, String> {
    let event = |event: &ProvedLeaf| {
        let proof = TlogProof::parse(&event.proof).map_err(|error| error.to_string())?;
        Ok(IdentityEvent { leaf: event.leaf.clone(), proof })
    };
    answer.iter().map(event).collect()
}

/// What becomes of what a log refuses. A key that was retired, and a DID that ended, never come back; who is
/// compromised recovers with another key.
fn refused(problem: &Problem) -> Outcome {
    let is_for_good = matches!(problem.rule.as_str(), "retired-key" | "compromised" | "deactivated");
    let failure = refusal(problem);
    if is_for_good { Outcome::Refused(failure) } else { Outcome::Left(failure) }
}

/// What a log's refusal means, and what to do about it: in the log's words, else in ours.
pub(crate) fn refusal(problem: &Problem) -> Failure {
    let failure = Failure::new(format!("the log refuses the entry: {problem}"));
    // What to do at this command line, where we know; the log speaks to whoever speaks HTTP.
    let ours = match problem.rule.as_str() {
        "retired-key" => Some(
            "the DID has another key now: `aip-attest whoami` on the machine that rotated it says since when, \
             `aip-attest key export` there gives the new one",
        ),
        "compromised" => Some("only `aip-attest recover --recovery FILE` makes the DID count again"),
        "deactivated" => Some("the DID ended for ever: `aip-attest init` makes another"),
        "not-registered" => Some("register it: `aip-attest init --register` on the machine that made it"),
        "capability" => Some(
            "a CI key should not vouch: make another identity for that, on your own machine, \
             `aip-attest --as org init --capabilities messages,receipts,vouches --register`",
        ),
        "identity-order" => {
            Some("another event of the DID came first: `aip-attest whoami` shows its state, then try again")
        }
        "identity-keys" => Some(
            "the key files are not those that the DID's last event names: use the files that `aip-attest init`, \
             `rotate-key` or `recover` wrote last",
        ),
        "identity-since" => Some(
            "`--since` is an index of this log, from the DID's inception on, which `aip-attest whoami` names, and \
             not beyond its newest entry",
        ),
        "identity-count" => Some(
            "the DID has had its events; the last ones are kept for `aip-attest recover`, `report-compromise` and \
             `deactivate`. `aip-attest init` makes another DID, which others have to vouch for",
        ),
        "message-keys-order" => {
            Some("another device changed the message keys at the same time: give the command again")
        }
        "failure-open" => Some(
            "you reported this DID already: `aip-attest withdraw DID --failure INDEX` takes that back, also if it \
                 counts no more; then report anew",
        ),
        "failure-not-open" => Some("the report is not yours, not about this DID, or taken back already"),
        _ => None,
    };
    let token = "set AIP_LOG_TOKEN to a token of this log, then try again";
    let hint = ours.or(problem.hint.as_deref()).or((problem.status == 401).then_some(token));
    hint.into_iter().fold(failure, Failure::hint)
}

/// The receipt stays pending, and here is how to go on.
pub(crate) fn pending(failure: Failure) -> Failure {
    failure.hint("the receipt stays pending: `aip-attest submit RECEIPT` sends the same bytes again")
}
