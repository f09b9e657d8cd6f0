//! The witnesses of the policy, asked over HTTP (c2sp.org/tlog-witness).
//!
//! Each URL has a thread, so that a witness has one request at a time and a slow one delays no other. The thread knows
//! what its witness cosigned last, and learns it from an answer 409. An ask ends within twice the timeout, whatever the
//! witness does: the timeout is the deadline of all its requests together, bodies included, and again that of reading the
//! checkpoint of a witness that objects. When [`Witnesses`] is dropped, the threads end within the same time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use log_client::{Client, Request, Until};
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use tlog::add_checkpoint::{self, AddCheckpoint, SIZE_MEDIA_TYPE};
use tlog::encoding::quoted;
use tlog::note::{Note, NoteSignature};
use tlog::policy::Policy;
use tlog::{Hash, TreeSize};

use super::{Answer, Ask, Cosigners, Outcome, Surveying};

/// The witnesses of a policy that have a URL.
pub struct Witnesses {
    seats: Vec<Arc<Seat>>,
    threads: Vec<JoinHandle<()>>,
    answers: Mutex<Receiver<Answer>>,
    /// How long a start waits for those that do not answer: a request, and one more for what they show.
    patience: Duration,
}

impl Witnesses {
    /// Starts asking. `heard` is called after each answer; asking for a cosignature takes at most `timeout`.
    pub fn start(
        policy: &Policy,
        timeout: Duration,
        heard: impl Fn() + Clone + Send + 'static,
    ) -> Result<Self, std::io::Error> {
        let (sender, answers) = mpsc::channel();
        let mut by_url: BTreeMap<&str, &str> = BTreeMap::new();
        for witness in policy.witnesses() {
            if let Some(url) = &witness.url {
                by_url.entry(url.trim_end_matches('/')).or_insert(&witness.name);
            }
        }
        let (mut seats, mut threads) = (Vec::new(), Vec::new());
        for (url, name) in by_url {
            let seat = Seat { name: name.to_owned(), ..Seat::default() };
            let seat = Arc::new(seat);
            let client = Client::new(url, concat!("log-server/", env!("CARGO_PKG_VERSION")))?;
            let known = TreeSize::EMPTY;
            let line = Line { seat: seat.clone(), client, timeout, known, named: None };
            let (sender, heard) = (sender.clone(), heard.clone());
            let thread = thread::Builder::new().name(format!("witness {name}"));
            threads.push(thread.spawn(move || line.run(&sender, heard))?);
            seats.push(seat);
        }
        Ok(Self { seats, threads, answers: Mutex::new(answers), patience: timeout * 2 })
    }
}

impl Cosigners for Witnesses {
    /// Waits on the thread of its caller, which has nothing else to do: it is ready at once when it is looked at.
    fn survey(&mut self, ask: Ask) -> Surveying<'_> {
        Box::pin(async move { self.survey_now(ask) })
    }

    fn ask(&mut self, ask: Ask) {
        for seat in &self.seats {
            let mut wish = seat.lock();
            wish.number += 1;
            wish.ask = Some(ask.clone());
            seat.changed.notify_all();
        }
    }

    fn answers(&mut self) -> Vec<Answer> {
        self.heard().try_iter().collect()
    }
}

impl Witnesses {
    fn heard(&mut self) -> &mut Receiver<Answer> {
        self.answers.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    fn survey_now(&mut self, ask: Ask) -> Vec<Answer> {
        self.ask(ask);
        let until = Instant::now() + self.patience;
        let mut answers: Vec<Answer> = Vec::new();
        // One that fails at once is asked again, and answers again, while another still thinks.
        let mut silent: BTreeSet<String> = self.seats.iter().map(|seat| seat.name.clone()).collect();
        while !silent.is_empty() {
            match self.heard().recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(answer) => {
                    silent.remove(&answer.witness);
                    answers.push(answer);
                }
                // A witness that does not answer in time is asked again later, like the others.
                Err(_) => break,
            }
        }
        answers
    }
}

impl Drop for Witnesses {
    fn drop(&mut self) {
        for seat in &self.seats {
            seat.lock().ended = true;
            seat.changed.notify_all();
        }
        // A thread that panicked has nothing left to wait for.
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

/// One URL and what it is to be asked.
#[derive(Default)]
struct Seat {
    name: String,
    wish: Mutex<Wish>,
    changed: Condvar,
}

#[derive(Default)]
struct Wish {
    /// Counts what was asked for, so that the same checkpoint can be asked for again.
    number: u64,
    ask: Option<Ask>,
    ended: bool,
}

impl Seat {
    fn lock(&self) -> MutexGuard<'_, Wish> {
        self.wish.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something that has not been answered, not before `not_before`. `None` at the end.
    fn next(&self, answered: u64, not_before: Instant) -> Option<(u64, Ask)> {
        let mut wish = self.lock();
        loop {
            if wish.ended {
                return None;
            }
            let pause = not_before.saturating_duration_since(Instant::now());
            match wish.ask.as_ref().filter(|_| wish.number > answered) {
                Some(ask) if pause.is_zero() => return Some((wish.number, ask.clone())),
                Some(_) => {
                    wish = self.changed.wait_timeout(wish, pause).unwrap_or_else(PoisonError::into_inner).0;
                }
                None => wish = self.changed.wait(wish).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

/// The conversation with one witness. Owned by its thread.
struct Line {
    seat: Arc<Seat>,
    client: Client,
    timeout: Duration,
    /// What the witness cosigned last, as far as it said.
    known: TreeSize,
    /// The smallest size that it corrected us to, in this ask.
    named: Option<TreeSize>,
}

impl Line {
    fn run(mut self, answers: &Sender<Answer>, heard: impl Fn()) {
        let (mut answered, mut failures) = (0, 0);
        let mut not_before = Instant::now();
        while let Some((number, ask)) = self.seat.clone().next(answered, not_before) {
            self.named = None;
            let outcome = self.ask(&ask);
            if matches!(outcome, Outcome::Cosigned(_)) {
                (answered, failures) = (number, 0);
            } else {
                not_before = Instant::now() + (FIRST_PAUSE * 2u32.pow(failures)).min(LONGEST_PAUSE);
                failures = (failures + 1).min(8);
            }
            let checkpoint = &ask.view.published().checkpoint;
            let (size, root) = (checkpoint.size, checkpoint.root);
            let answer = Answer { witness: self.seat.name.clone(), size, root, named: self.named, outcome };
            if answers.send(answer).is_err() {
                return;
            }
            heard();
        }
    }

    /// Asks, and asks again from the size that the witness names.
    fn ask(&mut self, ask: &Ask) -> Outcome {
        let size = ask.view.published().size();
        let until = Instant::now() + self.timeout;
        for _ in 0..MAX_CORRECTIONS {
            if self.known > size {
                // A larger size was cosigned before: what is asked now was published meanwhile, or restored.
                self.known = TreeSize::EMPTY;
            }
            let proof = match ask.view.consistency(self.known, size) {
                Ok(proof) => proof,
                Err(error) => return Outcome::Failed(format!("no proof could be read: {error}")),
            };
            let body = AddCheckpoint { old: self.known, proof, checkpoint: ask.note.clone() };
            let request = Request::post("add-checkpoint", body.to_string(), MAX_ANSWER_BYTES);
            let answer = match self.client.send(request, Until::Deadline(until)) {
                Ok(answer) if answer.is_whole => answer,
                Ok(_) => {
                    return Outcome::Failed(format!("its answer has more than {MAX_ANSWER_BYTES} bytes"));
                }
                Err(error) => return Outcome::Failed(words(&error)),
            };
            match self.read(&answer, ask, size) {
                Some(outcome) => return outcome,
                None => continue,
            }
        }
        Outcome::Failed("it keeps changing its mind about what it has seen".into())
    }

    /// What an answer means; `None` if it corrected what is known of the witness, and is to be asked again.
    fn read(&mut self, answer: &log_client::Answer, ask: &Ask, size: TreeSize) -> Option<Outcome> {
        let (status, body) = (answer.status, &answer.body[..]);
        let is_size = answer.headers.get(CONTENT_TYPE).is_some_and(|kind| kind == SIZE_MEDIA_TYPE);
        match status {
            StatusCode::OK => Some(match lines(body) {
                Some(lines) => {
                    self.known = size;
                    Outcome::Cosigned(lines)
                }
                None => Outcome::Failed("its answer is no signature lines".into()),
            }),
            StatusCode::CONFLICT if is_size => match add_checkpoint::parse_size(body) {
                Some(has) if has <= size => {
                    self.named = Some(self.named.map_or(has, |named| named.min(has)));
                    self.known = has;
                    None
                }
                Some(has) => Some(self.objects(ask, format!("it has seen {has} entries, more than {size}"))),
                None => Some(Outcome::Failed("its answer 409 names no size".into())),
            },
            StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY => {
                Some(self.objects(ask, format!("it answers {status}: {}", first_line(body))))
            }
            _ => Some(Outcome::Failed(format!("it answers {status}: {}", first_line(body)))),
        }
    }

    /// With the checkpoint that the witness serves, as proof of what it says.
    fn objects(&self, ask: &Ask, reason: String) -> Outcome {
        let origin = Hash::of(ask.view.published().checkpoint.origin.as_bytes());
        let until = Until::Deadline(Instant::now() + self.timeout);
        let shown = self.client.read(&format!("{origin}/checkpoint"), MAX_ANSWER_BYTES, until);
        Outcome::Objects { reason, shown: shown.ok().and_then(|note| Note::parse(&note).ok()) }
    }
}

fn lines(body: &[u8]) -> Option<Vec<NoteSignature>> {
    let text = std::str::from_utf8(body).ok()?.strip_suffix('\n')?;
    text.split('\n').map(NoteSignature::parse).collect()
}

fn first_line(body: &[u8]) -> String {
    quoted(String::from_utf8_lossy(body).lines().next().unwrap_or_default())
}

/// The innermost cause: "connection refused" rather than "error sending request".
fn words(error: &log_client::Error) -> String {
    match error.root_cause() {
        _ if error.is_timeout() => "it does not answer in time".into(),
        Some(cause) => cause,
        None => error.to_string(),
    }
}

/// A few cosignatures of 3,300 bytes each, or a checkpoint with many of them.
const MAX_ANSWER_BYTES: usize = 1 << 17;

/// A witness names another size at most so often in a row.
const MAX_CORRECTIONS: usize = 4;

/// After a failure a witness is left alone, each time twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
