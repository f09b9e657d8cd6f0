//! Publication with witnesses: {what they answer} × {what fails}. Always: nothing is published below the quorum (I4),
//! nothing accepted is lost (I1), what is published never goes back and no second tree is signed (I2), and at most one
//! further round waits behind a signed checkpoint.

use std::future::ready;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use log_core::log_keys::LogKeys;
use log_rocksdb::Engine;
use log_server::cosign::{Answer, Ask, Cosigners, Outcome, Surveying};
use log_server::pool::{NotTaken, Unavailable};
use log_server::sequencer::{Accept, Clocks, OpenError, Publication, Rhythm};
use log_server::sigstore_note::SigstoreName;
use log_server::store::faulty::FaultyStore;
use log_server::store::schema::{self, Read as _};
use log_server::store::{Batch, Store};
use tlog::checkpoint::Checkpoint;
use tlog::cosignature::cosign;
use tlog::key::{KeyName, KeyType, SignerKey};
use tlog::merkle::consistency;
use tlog::note::Note;
use tlog::policy::Policy;
use tlog::{Hash, TreeSize, UnixTime};

use super::{Bench, ORIGIN, START, Sequencer, entry, index, key, round};

/// Three witnesses, two of which suffice; they are asked and answer when the test says so.
#[derive(Clone, Default)]
struct Stage {
    asked: Arc<Mutex<Vec<Ask>>>,
    answers: Arc<Mutex<Vec<Answer>>>,
    survey: Arc<Mutex<Vec<Answer>>>,
    /// Seconds since the start, on both clocks.
    seconds: Arc<AtomicU64>,
    /// The wall clock is ahead of the witnesses by so much.
    ahead: Arc<AtomicU64>,
}

impl Cosigners for Stage {
    fn survey(&mut self, ask: Ask) -> Surveying<'_> {
        self.ask(ask);
        Box::pin(ready(std::mem::take(&mut *self.survey.lock().expect("nobody panicked"))))
    }

    fn ask(&mut self, ask: Ask) {
        self.asked.lock().expect("nobody panicked").push(ask);
    }

    fn answers(&mut self) -> Vec<Answer> {
        std::mem::take(&mut self.answers.lock().expect("nobody panicked"))
    }
}

impl Stage {
    fn open(&self, store: Arc<dyn Store>, bench: &Bench) -> Result<Sequencer, OpenError> {
        self.open_with(store, bench, RHYTHM)
    }

    fn open_with(
        &self,
        store: Arc<dyn Store>,
        bench: &Bench,
        rhythm: Rhythm,
    ) -> Result<Sequencer, OpenError> {
        let publication =
            Publication { policy: Arc::new(policy()), cosigners: Box::new(self.clone()), rhythm };
        let sigstore = SigstoreName { host: "example.com".into(), tree_id: 7 };
        let identity = LogKeys { key: key(), ml_dsa: Some(ml_dsa()), sigstore };
        let engine = Arc::new(Engine::open(store)?);
        Sequencer::open(engine, identity, bench.record(), self.clocks(), Accept::default(), publication)
    }

    fn clocks(&self) -> Clocks {
        let (seconds, ahead) = (self.seconds.clone(), self.ahead.clone());
        Box::new(move || {
            let seconds = seconds.load(Ordering::SeqCst);
            let wall = START + (seconds + ahead.load(Ordering::SeqCst)) * 1_000;
            (wall, Duration::from_secs(seconds))
        })
    }

    fn pass(&self, seconds: u64) {
        self.seconds.fetch_add(seconds, Ordering::SeqCst);
    }

    /// The checkpoint that was asked about last.
    fn asked(&self) -> (Checkpoint, Note) {
        let asked = self.asked.lock().expect("nobody panicked");
        let ask = asked.last().expect("the witnesses were asked");
        (ask.view.published().checkpoint.clone(), ask.note.clone())
    }

    fn times_asked(&self) -> usize {
        self.asked.lock().expect("nobody panicked").len()
    }

    /// These witnesses cosign what they were asked last.
    fn cosign(&self, witnesses: &[u8]) {
        let (checkpoint, _) = self.asked();
        for witness in witnesses {
            self.answer(*witness, &checkpoint, Outcome::Cosigned(vec![self.line(*witness, &checkpoint)]));
        }
    }

    fn line(&self, number: u8, checkpoint: &Checkpoint) -> tlog::note::NoteSignature {
        let now = UnixTime::from_secs(START / 1_000 + self.seconds.load(Ordering::SeqCst));
        cosign(&witness(number), checkpoint, now).expect("a line")
    }

    fn answer(&self, witness: u8, of: &Checkpoint, outcome: Outcome) {
        self.answers.lock().expect("nobody panicked").push(Self::naming(witness, of, None, outcome));
    }

    fn naming(witness: u8, of: &Checkpoint, named: Option<u64>, outcome: Outcome) -> Answer {
        let named = named.map(TreeSize::new);
        Answer { witness: format!("w{witness}"), size: of.size, root: of.root, named, outcome }
    }
}

const RHYTHM: Rhythm = Rhythm {
    publish_interval: Duration::ZERO,
    quorum_timeout: Duration::from_secs(3),
    recosign_interval: Duration::from_secs(600),
    fail_open: false,
};

fn witness(number: u8) -> SignerKey {
    let name = KeyName::new(&format!("w{number}.example")).expect("a name");
    let kind = if number == 3 { KeyType::MlDsa44Cosignature } else { KeyType::Ed25519Cosignature };
    SignerKey::from_seed(name, kind, &[10 + number; 32])
}

fn ml_dsa() -> SignerKey {
    SignerKey::from_seed(KeyName::new(ORIGIN).expect("a name"), KeyType::MlDsa44Cosignature, &[9; 32])
}

fn policy() -> Policy {
    let witnesses: String =
        (1..=3).map(|number| format!("witness w{number} {}\n", witness(number).verifier())).collect();
    let text = format!("log {}\n{witnesses}group two 2 w1 w2 w3\nquorum two\n", key().verifier());
    text.parse().expect("a policy")
}

fn published(sequencer: &Sequencer) -> (u64, Note) {
    let published = sequencer.published().borrow().clone();
    (published.size().get(), published.note.clone())
}

/// A log whose empty tree is published.
fn begun(stage: &Stage, bench: &Bench) -> Sequencer {
    let mut sequencer = stage.open(bench.store.clone(), bench).expect("a log");
    stage.cosign(&[1, 2]);
    sequencer.tend().expect("no write fails");
    sequencer
}

#[test]
fn nothing_is_published_below_the_quorum_and_one_further_round_is_committed() {
    let (stage, bench) = (Stage::default(), Bench::new());
    let mut sequencer = stage.open(bench.store.clone(), &bench).expect("a log");
    assert!(!sequencer.published().borrow().is_signed(), "the empty tree is asked for as well");
    stage.cosign(&[1]);
    sequencer.tend().expect("no write fails");
    assert!(!sequencer.published().borrow().is_signed(), "one of two is no quorum");
    stage.cosign(&[2]);
    sequencer.tend().expect("no write fails");
    assert!(sequencer.published().borrow().is_signed());

    assert_eq!(round(&mut sequencer, &[1]).1.iter().map(index).collect::<Vec<_>>(), [Some(0)]);
    let (first, own) = stage.asked();
    assert_eq!(first.size, TreeSize::new(1));
    assert_eq!(own.signatures().len(), 2, "the log's own lines, of both its keys, are all that is sent");
    own.verify(&[key().verifier().clone(), ml_dsa().verifier().clone()]).expect("and they verify");
    assert!(sequencer.takes_entries());
    assert_eq!(round(&mut sequencer, &[2]).1.iter().map(index).collect::<Vec<_>>(), [Some(1)]);
    assert!(!sequencer.takes_entries(), "one further round, and no more");
    assert_eq!(published(&sequencer).0, 0);
    assert_eq!(bench.record().read().expect("a record"), own.to_string(), "nothing else was signed");

    stage.pass(4);
    stage.answer(1, &first, Outcome::Failed("connection refused".into()));
    sequencer.tend().expect("no write fails");
    let reason = sequencer.cosigning().borrow().below_quorum.clone().expect("late");
    assert!(reason.contains("`two` is not met for size 1"), "{reason}");
    assert!(reason.contains("w1: connection refused"), "{reason}");

    stage.cosign(&[2, 3]);
    sequencer.tend().expect("no write fails");
    assert_eq!(published(&sequencer).0, 1);
    assert_eq!(sequencer.cosigning().borrow().below_quorum, None);
    policy().quorum(&published(&sequencer).1).expect("what is published has its quorum");
    assert_eq!(stage.asked().0.size, TreeSize::new(2), "the further round is next");
    assert!(sequencer.takes_entries());
    stage.cosign(&[1, 2]);
    sequencer.tend().expect("no write fails");
    assert_eq!(published(&sequencer).0, 2);
    assert!(sequencer.is_settled());
    assert_eq!(bench.check(), TreeSize::new(2));
}

/// I6: a witness that lost its state answers with a size below what it cosigned. The log has to notice.
#[test]
fn a_witness_that_names_less_than_it_cosigned_is_an_alarm() {
    let (stage, bench) = (Stage::default(), Bench::new());
    let mut sequencer = begun(&stage, &bench);
    for entry in [1, 2] {
        round(&mut sequencer, &[entry]).0.expect("a round");
        stage.cosign(&[1, 2]);
        sequencer.tend().expect("no write fails");
    }
    assert_eq!(published(&sequencer).0, 2);
    round(&mut sequencer, &[3]).0.expect("a round");
    let current = stage.asked().0;
    let says = |stage: &Stage, witness: u8, named: u64| {
        let outcome = Outcome::Cosigned(vec![stage.line(witness, &current)]);
        Stage::naming(witness, &current, Some(named), outcome)
    };
    // What it cosigned, whoever else has cosigned less: no alarm.
    for answer in [says(&stage, 1, 2), says(&stage, 3, 0)] {
        stage.answers.lock().expect("nobody panicked").push(answer);
        sequencer.tend().expect("no write fails");
        assert_eq!(sequencer.cosigning().borrow().forgetful(), None);
    }
    let answer = says(&stage, 2, 1);
    stage.answers.lock().expect("nobody panicked").push(answer);
    sequencer.tend().expect("no write fails");
    let forgetful = sequencer.cosigning().borrow().forgetful().expect("an alarm");
    assert_eq!(forgetful, "w2: it cosigned size 2, and says that the last was 1");
    assert_eq!(published(&sequencer).0, 3, "an alarm, not an order");
    drop(sequencer);
    // After a restart, too: what is published has its cosignature.
    let stage = Stage::default();
    let answer = Stage::naming(1, &current, Some(2), Outcome::Failed("down".into()));
    stage.survey.lock().expect("nobody panicked").push(answer);
    let sequencer = stage.open(bench.store.clone(), &bench).expect("a log");
    let forgetful = sequencer.cosigning().borrow().forgetful().expect("an alarm");
    assert_eq!(forgetful, "w1: it cosigned size 3, and says that the last was 2");
}

#[test]
fn a_late_cosignature_is_added_and_an_idle_log_is_cosigned_anew() {
    let (stage, bench) = (Stage::default(), Bench::new());
    let mut sequencer = begun(&stage, &bench);
    round(&mut sequencer, &[1]).0.expect("a round");
    let old = stage.asked().0;
    stage.cosign(&[1, 2]);
    sequencer.tend().expect("no write fails");
    let witnesses = |sequencer: &Sequencer| policy().quorum(&published(sequencer).1).expect("a quorum");
    assert_eq!(witnesses(&sequencer).len(), 2);
    stage.cosign(&[3]);
    sequencer.tend().expect("no write fails");
    assert_eq!(witnesses(&sequencer).len(), 3, "a late line is added");
    let stored = bench.store.published().expect("a read").expect("a note");
    assert_eq!(stored, published(&sequencer).1.to_string(), "and is durable before it is shown");

    let asked = stage.times_asked();
    // The clock is looked at meanwhile: `/readyz` tells of one that jumped, also where nobody sends anything.
    assert_eq!(sequencer.next_tend(), Some(Duration::from_secs(5)));
    stage.pass(599);
    sequencer.tend().expect("no write fails");
    assert_eq!(stage.times_asked(), asked);
    stage.pass(1);
    sequencer.tend().expect("no write fails");
    assert_eq!(stage.times_asked(), asked + 1, "idle for ten minutes: asked anew");
    stage.cosign(&[1]);
    sequencer.tend().expect("no write fails");
    let times: Vec<u64> = witnesses(&sequencer).iter().map(|by| by.time.as_secs() - START / 1_000).collect();
    assert_eq!(times, [600, 0, 0], "one line a key, and the newer replaces");
    assert_eq!(published(&sequencer).1.signatures().len(), 5);

    round(&mut sequencer, &[2]).0.expect("a round");
    stage.answer(2, &old, Outcome::Cosigned(vec![stage.line(2, &old)]));
    sequencer.tend().expect("no write fails");
    assert_eq!(witnesses(&sequencer).len(), 3, "an answer about what is current still counts");
    stage.cosign(&[1, 2]);
    sequencer.tend().expect("no write fails");
    let before = published(&sequencer).1;
    stage.answer(3, &old, Outcome::Cosigned(vec![stage.line(3, &old)]));
    sequencer.tend().expect("no write fails");
    assert!(published(&sequencer).1 == before, "one about an older checkpoint does not");
}

#[test]
fn lines_that_do_not_verify_do_not_count() {
    let (stage, bench) = (Stage::default(), Bench::new());
    let mut sequencer = begun(&stage, &bench);
    round(&mut sequencer, &[1]).0.expect("a round");
    let (checkpoint, _) = stage.asked();
    let other = Checkpoint::new(ORIGIN, TreeSize::new(1), Hash::of(b"another tree"));
    stage.answer(1, &checkpoint, Outcome::Cosigned(vec![stage.line(1, &other)]));
    stage.answer(2, &checkpoint, Outcome::Cosigned(vec![stage.line(2, &checkpoint), stage.line(1, &other)]));
    sequencer.tend().expect("no write fails");
    assert_eq!(published(&sequencer).0, 0);
    let failing = sequencer.cosigning().borrow().witnesses[0].failing.clone().expect("w1 fails");
    assert!(failing.contains("does not count"), "{failing}");
}

/// A witness that answers what does not count, or only one of its two lines, has answered: it is asked again, else
/// the log would wait for ever.
#[test]
fn what_lacks_its_quorum_is_asked_for_again() {
    let (stage, bench) = (Stage::default(), Bench::new());
    let mut sequencer = begun(&stage, &bench);
    round(&mut sequencer, &[1]).0.expect("a round");
    let (checkpoint, own) = stage.asked();
    let other = Checkpoint::new(ORIGIN, TreeSize::new(1), Hash::of(b"another tree"));
    stage.cosign(&[1]);
    stage.answer(2, &checkpoint, Outcome::Cosigned(vec![stage.line(2, &other)]));
    stage.answer(3, &checkpoint, Outcome::Cosigned(vec![stage.line(3, &other)]));
    sequencer.tend().expect("no write fails");
    let asked = stage.times_asked();
    for again in 1..=3 {
        assert_eq!(sequencer.next_tend(), Some(RHYTHM.quorum_timeout));
        stage.pass(3);
        sequencer.tend().expect("no write fails");
        assert_eq!(stage.times_asked(), asked + again);
        assert_eq!(stage.asked().1.to_string(), own.to_string(), "nothing else was signed");
    }
    stage.cosign(&[2]);
    sequencer.tend().expect("no write fails");
    assert_eq!(published(&sequencer).0, 1);
}

/// A witness signs with every key it has, and the policy may name one of them.
#[test]
fn a_line_of_a_key_that_the_policy_does_not_name_is_no_failure() {
    let (stage, bench) = (Stage::default(), Bench::new());
    let mut sequencer = begun(&stage, &bench);
    round(&mut sequencer, &[1]).0.expect("a round");
    let (checkpoint, _) = stage.asked();
    let (known, unknown) = (stage.line(1, &checkpoint), stage.line(4, &checkpoint));
    for lines in [vec![known.clone(), unknown.clone()], vec![unknown.clone(), known]] {
        stage.answer(1, &checkpoint, Outcome::Cosigned(lines));
        sequencer.tend().expect("no write fails");
        assert_eq!(sequencer.cosigning().borrow().witnesses[0].failing, None);
    }
    stage.answer(2, &checkpoint, Outcome::Cosigned(vec![unknown]));
    sequencer.tend().expect("no write fails");
    let failing = sequencer.cosigning().borrow().witnesses[1].failing.clone().expect("w2 fails");
    assert!(failing.contains("no witness of the policy"), "{failing}");
}

#[test]
fn the_first_entry_takes_the_place_of_an_empty_tree_that_witnesses_refuse() {
    let (stage, bench) = (Stage::default(), Bench::new());
    let mut sequencer = stage.open(bench.store.clone(), &bench).expect("a log");
    let (empty, _) = stage.asked();
    stage.answer(1, &empty, Outcome::Failed("it answers 422".into()));
    sequencer.tend().expect("no write fails");
    for number in 1..=2 {
        assert!(sequencer.takes_entries());
        round(&mut sequencer, &[number]).0.expect("a round");
    }
    assert_eq!(stage.asked().0.size, TreeSize::new(1));
    stage.cosign(&[1, 3]);
    sequencer.tend().expect("no write fails");
    assert_eq!(published(&sequencer).0, 1);
}

#[test]
fn a_restart_asks_again_for_what_was_signed() {
    let (stage, bench) = (Stage::default(), Bench::new());
    let mut sequencer = begun(&stage, &bench);
    round(&mut sequencer, &[1, 2]).0.expect("a round");
    stage.cosign(&[1, 2]);
    sequencer.tend().expect("no write fails");
    round(&mut sequencer, &[3]).0.expect("a round");
    round(&mut sequencer, &[4]).0.expect("a round");
    let signed = bench.record().read().expect("a record");
    drop(sequencer);

    let again = Stage::default();
    let mut sequencer = again.open(bench.store.clone(), &bench).expect("the log again");
    assert_eq!(published(&sequencer).0, 2, "what was published is shown at once");
    assert!(!sequencer.takes_entries(), "the one further round was committed before the restart");
    policy().quorum(&published(&sequencer).1).expect("with its cosignatures");
    assert_eq!(again.asked().1.to_string(), signed, "the same note is asked for, nothing else is signed");
    assert_eq!(bench.record().read().expect("a record"), signed);
    again.cosign(&[1, 3]);
    sequencer.tend().expect("no write fails");
    assert_eq!(published(&sequencer).0, 3);
    again.cosign(&[1, 3]);
    sequencer.tend().expect("no write fails");
    assert_eq!(published(&sequencer).0, 4);
    assert_eq!(bench.check(), TreeSize::new(4));
}

/// After a recovery the directory shows more than either record knows: witnesses are asked about that, since they
/// have seen it, and the record says so from then on.
#[test]
fn what_is_shown_beyond_the_records_was_signed_last() {
    let (stage, bench) = (Stage::default(), Bench::new());
    let mut sequencer = begun(&stage, &bench);
    let older = bench.record().read().expect("a record");
    round(&mut sequencer, &[1]).0.expect("a round");
    stage.cosign(&[1, 2]);
    sequencer.tend().expect("no write fails");
    let newer = bench.record().read().expect("a record");
    drop(sequencer);
    bench.record().write(&older).expect("a write");
    let mut batch = Batch::default();
    schema::put_signed(&mut batch, &older);
    bench.store.write(&batch).expect("a write");

    let again = Stage::default();
    let sequencer = again.open(bench.store.clone(), &bench).expect("the log again");
    assert_eq!(again.asked().1.to_string(), newer);
    assert_eq!(bench.record().read().expect("a record"), newer);
    assert!(sequencer.is_settled());
}

#[test]
fn after_any_failed_write_nothing_is_lost_and_nothing_goes_back() {
    for writes in 1..=14 {
        for persisted in [false, true] {
            let (stage, bench) = (Stage::default(), Bench::new());
            let faulty = Arc::new(FaultyStore::new(bench.store.clone(), writes, persisted));
            let Run { answered, seen, published: before } = until_a_write_fails(&stage, faulty, &bench);
            let again = Stage::default();
            let case = format!("write {writes}, persisted {persisted}");
            let mut sequencer =
                again.open(bench.store.clone(), &bench).unwrap_or_else(|e| panic!("{case}: {e}"));
            assert!(published(&sequencer).0 >= before, "{case}: what was published does not go back");
            while !sequencer.is_settled() {
                again.cosign(&[2, 3]);
                sequencer.tend().expect("no write fails");
            }
            let size = bench.check();
            assert_eq!(published(&sequencer).0, size.get(), "{case}");
            for seen in seen {
                let view = again.view(&sequencer);
                let proof = view.consistency(seen.size, size).expect("a proof");
                let root = view.root(size).expect("a root");
                consistency::verify(seen.size, size, &proof, &seen.root, &root)
                    .unwrap_or_else(|e| panic!("{case}: size {} was shown: {e}", seen.size));
            }
            for (number, index) in answered {
                let at = bench.store.claim(&entry(number).claim.get()).expect("a read");
                assert_eq!(at.map(tlog::LeafIndex::get), Some(index), "{case}: entry {number}");
            }
        }
    }
}

/// What happened until a write failed.
#[derive(Default)]
struct Run {
    /// Entry and index of every answer.
    answered: Vec<(u64, u64)>,
    /// Every checkpoint that a witness was sent.
    seen: Vec<Checkpoint>,
    /// The size that was published last.
    published: u64,
}

fn until_a_write_fails(stage: &Stage, store: Arc<dyn Store>, bench: &Bench) -> Run {
    let mut run = Run::default();
    let Ok(mut sequencer) = stage.open(store, bench) else { return run };
    for number in 0..10 {
        run.seen.push(stage.asked().0);
        if sequencer.takes_entries() {
            let (outcome, told) = round(&mut sequencer, &[number]);
            run.answered.extend(index(&told[0]).map(|index| (number, index)));
            if outcome.is_err() {
                return run;
            }
        }
        // Every second time the quorum comes too late for the next round.
        if number % 2 == 1 {
            stage.cosign(&[1, 2]);
            if sequencer.tend().is_err() {
                return run;
            }
        }
        run.published = published(&sequencer).0;
    }
    panic!("no write failed");
}

#[test]
fn a_witness_that_shows_what_the_log_signed_and_does_not_have_stops_it() {
    let (stage, bench) = (Stage::default(), Bench::new());
    let mut sequencer = begun(&stage, &bench);
    round(&mut sequencer, &[1]).0.expect("a round");
    let (current, note) = stage.asked();
    let stranger = SignerKey::from_seed(KeyName::new(ORIGIN).expect("a name"), KeyType::Ed25519, &[77; 32]);
    let larger = Checkpoint::new(ORIGIN, TreeSize::new(9), Hash::of(b"larger"));
    let forked = Checkpoint::new(ORIGIN, TreeSize::new(1), Hash::of(b"forked"));
    let objects = |shown| Outcome::Objects { reason: "it has seen 9 entries".into(), shown };
    // An alarm, not an order: its word, a stranger's note, and what we have ourselves stop nothing.
    for shown in [None, Some(larger.sign(&stranger)), Some(note)] {
        stage.answer(3, &current, objects(shown));
        sequencer.tend().expect("no write fails");
        assert_eq!(sequencer.cosigning().borrow().halted, None);
    }
    stage.cosign(&[1, 2]);
    sequencer.tend().expect("no write fails");
    assert_eq!(published(&sequencer).0, 1, "the others make the quorum");

    let kept = bench.folder.path().join("signed.shown");
    for (shown, why) in [(larger.sign(&key()), "this directory holds"), (forked.sign(&key()), "leads to")] {
        let is_kept = || {
            assert_eq!(std::fs::read_to_string(&kept).expect("the evidence"), shown.to_string());
            let refused = Stage::default().open(bench.store.clone(), &bench).err().expect("refused again");
            assert!(matches!(refused, OpenError::RolledBack { .. } | OpenError::Contradiction { .. }));
            // As after a recovery. Of this test only: what was shown still contradicts the store.
            std::fs::remove_file(&kept).expect("removed");
        };
        let at_start = Stage::default();
        let answer = Answer {
            witness: "w3".into(),
            size: current.size,
            root: current.root,
            named: None,
            outcome: objects(Some(shown.clone())),
        };
        at_start.survey.lock().expect("nobody panicked").push(answer);
        let refused = at_start.open(bench.store.clone(), &bench).err().expect("refused");
        assert!(matches!(refused, OpenError::WitnessKnowsMore { .. }), "{refused}");
        assert!(refused.to_string().contains(why), "{refused}");
        is_kept();

        let running = Stage::default();
        let mut sequencer = running.open(bench.store.clone(), &bench).expect("a log");
        let before = bench.record().read().expect("a record");
        running.answer(3, &current, objects(Some(shown.clone())));
        sequencer.tend().expect("no write fails");
        assert!(sequencer.cosigning().borrow().halted.as_ref().is_some_and(|reason| reason.contains(why)));
        assert!(!sequencer.takes_entries());
        assert_eq!(sequencer.next_tend(), None);
        sequencer.tend().expect("no write fails");
        assert_eq!(bench.record().read().expect("a record"), before, "nothing is signed any more");
        drop(sequencer);
        is_kept();
    }
}

#[test]
fn fail_open_publishes_without_the_quorum_once_it_is_late() {
    let (stage, bench) = (Stage::default(), Bench::new());
    let rhythm = Rhythm { fail_open: true, ..RHYTHM };
    let mut sequencer = stage.open_with(bench.store.clone(), &bench, rhythm).expect("a log");
    round(&mut sequencer, &[1]).0.expect("a round");
    assert_eq!(published(&sequencer).0, 0);
    assert_eq!(sequencer.next_tend(), Some(Duration::from_secs(3)));
    stage.pass(3);
    sequencer.tend().expect("no write fails");
    assert_eq!(published(&sequencer).0, 1);
    assert!(policy().quorum(&published(&sequencer).1).is_err(), "a verifier still refuses it");
    let says = |sequencer: &Sequencer| sequencer.cosigning().borrow().shown_below_quorum.clone();
    assert_eq!(says(&sequencer).as_deref(), Some("size 1 without the quorum `two`"), "and the log says so");
    drop(sequencer);
    let mut sequencer = stage.open_with(bench.store.clone(), &bench, rhythm).expect("the log again");
    assert!(says(&sequencer).is_some(), "after a restart as well");
    stage.cosign(&[1, 2]);
    sequencer.tend().expect("no write fails");
    assert_eq!(says(&sequencer), None, "until late cosignatures make it");
}

#[test]
fn publication_has_an_interval_of_its_own() {
    let (stage, bench) = (Stage::default(), Bench::new());
    let rhythm = Rhythm { publish_interval: Duration::from_secs(2), ..RHYTHM };
    let mut sequencer = stage.open_with(bench.store.clone(), &bench, rhythm).expect("a log");
    stage.pass(1);
    stage.cosign(&[1, 2]);
    sequencer.tend().expect("no write fails");
    for number in 1..=5 {
        assert!(sequencer.takes_entries(), "rounds go on between publications");
        round(&mut sequencer, &[number]).0.expect("a round");
    }
    assert_eq!(sequencer.next_tend(), Some(Duration::from_secs(1)));
    stage.pass(1);
    sequencer.tend().expect("no write fails");
    assert_eq!(stage.asked().0.size, TreeSize::new(5));
}

#[test]
fn a_clock_that_the_witnesses_contradict_stops_sequencing() {
    let (stage, bench) = (Stage::default(), Bench::new());
    stage.ahead.store(400, Ordering::SeqCst);
    let mut sequencer = begun(&stage, &bench);
    let (_, told) = round(&mut sequencer, &[1]);
    assert!(
        matches!(&told[..], [Some(Err(NotTaken::Unavailable(Unavailable::Clock(why))))] if why.contains("witnesses")),
        "{told:?}"
    );
    assert_eq!(bench.check(), TreeSize::EMPTY);
    // The clock is set right. Nothing is asked and nothing is answered until the log looks again, which it does by itself.
    let wait = sequencer.next_tend().expect("a clock that is wrong is looked at again");
    assert!(wait <= Duration::from_secs(1), "{wait:?}");
    stage.ahead.store(0, Ordering::SeqCst);
    sequencer.tend().expect("no write fails");
    assert!(
        sequencer.clock_stopped().borrow().is_some(),
        "it moved against the monotonic clock: the guard knows only that"
    );
}

/// Another policy, while a checkpoint waits: what cosigned it keeps its line, and the quorum is that of now.
#[test]
fn a_policy_that_is_read_again_counts_for_what_waits() {
    let (stage, bench) = (Stage::default(), Bench::new());
    let mut sequencer = begun(&stage, &bench);
    round(&mut sequencer, &[1]).0.expect("a round");
    stage.cosign(&[1]);
    sequencer.tend().expect("no write fails");
    assert_eq!(published(&sequencer).0, 0, "one of two is no quorum");
    let text = format!("log {}\nwitness w1 {}\nquorum w1\n", key().verifier(), witness(1).verifier());
    let then = Stage { seconds: stage.seconds.clone(), ..Stage::default() };
    let policy = Arc::new(text.parse().expect("a policy"));
    let publication = Publication { policy, cosigners: Box::new(then.clone()), rhythm: RHYTHM };
    sequencer.adopt(publication).expect("no write fails");
    assert_eq!(published(&sequencer).0, 1, "the line that was there is the quorum now");
    assert_eq!(sequencer.cosigning().borrow().witnesses.len(), 1);
    round(&mut sequencer, &[2]).0.expect("a round");
    assert_eq!(then.asked().0.size, TreeSize::new(2), "the witnesses of now are asked");
    then.cosign(&[1]);
    sequencer.tend().expect("no write fails");
    assert_eq!(published(&sequencer).0, 2);
    assert_eq!(bench.check(), TreeSize::new(2));
}

/// A wall clock that jumps, in either direction, and is right again: the log goes on without a restart.
#[test]
fn a_clock_that_is_right_again_goes_on_by_itself() {
    let (stage, bench) = (Stage::default(), Bench::new());
    let mut sequencer = begun(&stage, &bench);
    stage.ahead.store(3_600, Ordering::SeqCst);
    assert!(matches!(
        round(&mut sequencer, &[1]).1[..],
        [Some(Err(NotTaken::Unavailable(Unavailable::Clock(_))))]
    ));
    let mut stopped = sequencer.clock_stopped();
    assert!(stopped.borrow_and_update().is_some());
    assert!(sequencer.next_tend().is_some_and(|wait| wait <= Duration::from_secs(1)));
    stage.ahead.store(0, Ordering::SeqCst);
    stage.pass(1);
    sequencer.tend().expect("no write fails");
    assert!(stopped.has_changed().expect("the log runs") && stopped.borrow_and_update().is_none());
    assert_eq!(round(&mut sequencer, &[1]).1.iter().map(index).collect::<Vec<_>>(), [Some(0)]);
}

impl Stage {
    fn view(&self, sequencer: &Sequencer) -> log_server::view::View {
        let asked = self.asked.lock().expect("nobody panicked");
        let store = asked.last().expect("the witnesses were asked").view.clone();
        store.showing(sequencer.published().borrow().clone())
    }
}
