//! The relay with a real database: what a crash leaves, tombstones, expiry, what is rebuilt, damage.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;

use attestation::message::{Accept, LegacyContent};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::disk::Disk;
use super::running::SLACK_MILLIS;
use super::*;

mod damage;
use service::clock;

/// The wall clock of the relays here: their starts are far from it, so it may be set ahead.
static NOW: AtomicU64 = AtomicU64::new(1_790_000_000_000);

fn now() -> u64 {
    NOW.load(Ordering::Relaxed)
}

struct World {
    folder: TempDir,
    runtime: Runtime,
}

impl World {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Self { folder: tempfile::tempdir().expect("a folder"), runtime: runtime.expect("a runtime") }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("mail")
    }

    fn start(&self) -> Relay {
        start(&self.path(), &MailSettings::default())
    }

    fn deliver(&self, relay: &Relay, delivery: Delivery) -> Result<Delivered, NotDelivered> {
        self.runtime.block_on(relay.deliver(delivery))
    }

    fn acknowledge(&self, relay: &Relay, owner: u8, ids: &[EnvelopeId]) -> u64 {
        self.runtime.block_on(relay.acknowledge(did(owner), ids.to_vec())).expect("an open relay")
    }

    fn set(&self, relay: &Relay, settings: Settings, issued_at: u64) -> Result<(), NotSet> {
        self.runtime.block_on(relay.set(did(1), settings, issued_at, None)).expect("an open relay")
    }
}

fn start(path: &Path, settings: &MailSettings) -> Relay {
    let relay = Relay::start(path, settings, Clock { now, doubted: Box::new(|| false) }).expect("a thread");
    relay.wait_until_open(Duration::from_secs(20));
    relay
}

fn close(relay: &Relay) {
    relay.close(Duration::from_secs(20));
}

fn did(number: u8) -> Did {
    Did::from_bytes([number; 16])
}

/// A message of this content to the mailbox 1, from the sender 2, for an hour.
fn message(content: &str) -> Delivery {
    let bytes = [&[0; 22], &[content.len() as u8; 16][..], content.as_bytes()].concat();
    Delivery {
        id: EnvelopeId::of(&bytes),
        recipient: did(1),
        sender: did(2),
        sender_is_bare: false,
        client: Some([192, 0, 2, 1].into()),
        expires: now() + 3_600_000,
        mail: Mail::Sealed(bytes),
    }
}

fn numbers(relay: &Relay, owner: u8) -> Vec<u64> {
    let mailed = relay.page(did(owner), 0, (100, 1 << 20), |_, _| true).expect("an open relay");
    mailed.messages.iter().map(|(number, _)| *number).collect()
}

/// Waits for something that must come true.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::park_timeout(Duration::from_millis(5));
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
    }
}

#[test]
fn what_was_answered_is_there_after_a_crash_and_after_a_restart() {
    let world = World::new();
    let relay = world.start();
    let first = world.deliver(&relay, message("one")).expect("room");
    assert!(first.stored);
    assert_eq!(world.deliver(&relay, message("one")), Ok(Delivered { stored: false, ..first }));
    world.deliver(&relay, Delivery { recipient: did(9), ..message("two") }).expect("room");
    world.deliver(&relay, message("three")).expect("room");
    assert_eq!(world.acknowledge(&relay, 1, &[message("one").id]), 1);
    // As kill -9 leaves it: nothing is flushed, nothing is closed.
    let crashed = world.folder.path().join("crashed");
    copy(&world.path(), &crashed);
    let (_, before) = relay.standing().expect("an open relay");
    close(&relay);
    assert_eq!(world.deliver(&relay, message("four")), Err(Unavailable::Stopping.into()));
    for path in [crashed, world.path()] {
        let relay = start(&path, &MailSettings::default());
        assert_eq!(relay.failure(), None);
        assert_eq!((numbers(&relay, 1), numbers(&relay, 9)), (vec![3], vec![2]));
        let (messages, after) = relay.standing().expect("an open relay");
        assert_eq!((messages, after.taken), (2, before.taken), "counted anew");
        assert_eq!(
            world.deliver(&relay, message("one")),
            Ok(Delivered { stored: false, ..first }),
            "a tombstone"
        );
        assert!(!world.deliver(&relay, message("three")).expect("known").stored);
        world.deliver(&relay, message("four")).expect("room");
        assert_eq!(numbers(&relay, 1), [3, 4], "no number is given twice");
        close(&relay);
    }
}

#[test]
fn a_number_is_not_given_again_although_all_mail_is_gone() {
    let world = World::new();
    let relay = world.start();
    for content in ["one", "two"] {
        world.deliver(&relay, message(content)).expect("room");
    }
    assert_eq!(world.acknowledge(&relay, 1, &[message("one").id, message("two").id]), 2);
    close(&relay);
    let relay = world.start();
    world.deliver(&relay, message("three")).expect("room");
    assert_eq!(numbers(&relay, 1), [3]);
    close(&relay);
}

#[test]
fn only_its_owner_acknowledges_and_unknown_ids_are_no_error() {
    let world = World::new();
    let relay = world.start();
    world.deliver(&relay, message("one")).expect("room");
    let ids = [message("one").id, EnvelopeId::of(b"unknown")];
    assert_eq!(world.acknowledge(&relay, 2, &ids), 0, "another's");
    assert_eq!(numbers(&relay, 1), [1]);
    assert_eq!(world.acknowledge(&relay, 1, &ids), 1);
    assert_eq!(world.acknowledge(&relay, 1, &ids), 0, "again");
    assert!(numbers(&relay, 1).is_empty());
    close(&relay);
}

#[test]
fn what_expires_is_deleted_with_its_tombstones_and_may_come_again() {
    let world = World::new();
    let folder = Disk::create_if_missing(&world.path()).and_then(|_| Disk::open(&world.path()));
    let mail = Mailroom::open(folder.expect("a database"), MailSettings::default().limits()).expect("mail");
    let commit = |changes: Vec<Change>| mail.commit(changes, now()).expect("a write");
    let deliver = |delivery| {
        let (done, mut delivered) = oneshot::channel();
        commit(vec![Change::Deliver(Box::new(delivery), done)]);
        delivered.try_recv().expect("an answer").expect("room").stored
    };
    let short = Delivery { expires: now() + 10, ..message("short") };
    assert!(deliver(short.clone()) && deliver(message("long")));
    let gone = Delivery { expires: now() + 10, ..message("gone") };
    assert!(deliver(gone.clone()));
    let (done, _) = oneshot::channel();
    commit(vec![Change::Acknowledge { owner: did(1), ids: vec![gone.id], done }]);
    let shown = |at| {
        let page = mail.page(did(1), 0, at, (100, 1 << 20), |_, _| true).expect("a page");
        page.messages.iter().map(|(number, _)| *number).collect::<Vec<_>>()
    };
    assert_eq!(shown(now() + 9), [1, 2]);
    assert_eq!(shown(now() + 10), [2], "not shown from then on, deleted or not");
    assert_eq!(mail.expire(now() + 9).expect("a write"), 0);
    assert!(!deliver(short.clone()) && !deliver(gone.clone()));
    assert_eq!(mail.expire(now() + 10).expect("a write"), 1, "and a tombstone");
    assert_eq!(mail.lock().messages(), 1);
    assert!(deliver(short) && deliver(gone), "nothing is known of them any more");
    assert_eq!(mail.expire(u64::MAX).expect("a write"), 3);
    let index = mail.lock();
    assert_eq!((index.messages(), index.standing().taken), (0, 0));
}

/// A group is decided in its order, as if each change came alone.
#[test]
fn one_group_may_bring_the_same_message_twice_and_take_it_out_again() {
    let world = World::new();
    let folder = Disk::create_if_missing(&world.path()).and_then(|_| Disk::open(&world.path()));
    let mail = Mailroom::open(folder.expect("a database"), MailSettings::default().limits()).expect("mail");
    let (one, mut first) = oneshot::channel();
    let (two, mut second) = oneshot::channel();
    let (three, mut acknowledged) = oneshot::channel();
    let (four, mut third) = oneshot::channel();
    let news = mail.commit(
        vec![
            Change::Deliver(Box::new(message("one")), one),
            Change::Deliver(Box::new(message("one")), two),
            Change::Acknowledge { owner: did(1), ids: vec![message("one").id], done: three },
            Change::Deliver(Box::new(message("one")), four),
        ],
        now(),
    );
    assert_eq!(news.expect("a write").into_iter().collect::<Vec<_>>(), [did(1)]);
    assert!(first.try_recv().expect("an answer").expect("room").stored);
    assert!(!second.try_recv().expect("an answer").expect("room").stored);
    assert_eq!(acknowledged.try_recv(), Ok(1));
    assert!(!third.try_recv().expect("an answer").expect("room").stored);
    assert_eq!(mail.lock().messages(), 0);
    drop(mail);
    let relay = world.start();
    assert!(numbers(&relay, 1).is_empty());
    close(&relay);
}

#[test]
fn a_page_is_bounded_and_says_whether_there_is_more() {
    let world = World::new();
    let relay = world.start();
    for content in ["a", "bb", "a longer one"] {
        world.deliver(&relay, message(content)).expect("room");
    }
    let page = |after, limit, bytes| {
        let mailed = relay.page(did(1), after, (limit, bytes), |_, _| true).expect("an open relay");
        (mailed.messages.iter().map(|(number, _)| *number).collect::<Vec<_>>(), mailed.more)
    };
    assert_eq!(page(0, 2, 1 << 20), (vec![1, 2], true));
    assert_eq!(page(0, 3, 1 << 20), (vec![1, 2, 3], false));
    assert_eq!(page(2, 3, 1 << 20), (vec![3], false));
    assert_eq!(page(0, 3, 1), (vec![1], true), "one at least");
    let of_key = |length: u8| {
        let key = MessageKeyId::from_bytes([length; 16]);
        relay.page(did(1), 0, (9, 1 << 20), |_, of| of == Some(&key)).expect("an open relay").messages.len()
    };
    assert_eq!((of_key(2), of_key(3)), (1, 0));
    close(&relay);
}

#[test]
fn legacy_mail_is_marked_as_read_once_and_stays_so() {
    let world = World::new();
    let relay = world.start();
    let content =
        LegacyContent { encrypted_content: "Ym94".into(), signature: "c2ln".into(), timestamp: None };
    let legacy = Delivery { mail: Mail::Legacy(Legacy { content, read_at: None }), ..message("id") };
    let id = legacy.id;
    world.deliver(&relay, legacy).expect("room");
    world.deliver(&relay, message("sealed")).expect("room");
    let mark = |relay: &Relay, owner, id, at| world.runtime.block_on(relay.mark_read(did(owner), id, at));
    assert_eq!(mark(&relay, 2, id, 5), Ok(false), "another's");
    assert_eq!(mark(&relay, 1, id, 6), Ok(true));
    assert_eq!(mark(&relay, 1, id, 7), Ok(true));
    assert_eq!(mark(&relay, 1, message("sealed").id, 7), Ok(false), "no read marks of sealed mail");
    close(&relay);
    let relay = world.start();
    let mailed = relay.page(did(1), 0, (9, 1 << 20), |kind, _| kind == Kind::Legacy).expect("an open relay");
    let [(1, Message { mail: Mail::Legacy(legacy), .. })] = &mailed.messages[..] else {
        panic!("{mailed:?}")
    };
    assert_eq!(legacy.read_at, Some(6));
    close(&relay);
}

#[test]
fn later_settings_replace_earlier_ones_and_no_others() {
    let world = World::new();
    let relay = world.start();
    let settings = |accept| Settings { accept, listed: vec![], blocked: vec![did(3)] };
    assert!(relay.settings(did(1)).expect("an open relay").admits(did(3), false), "the default");
    assert_eq!(world.set(&relay, settings(Accept::Registered), 10), Ok(()));
    assert_eq!(world.set(&relay, settings(Accept::Anyone), 10), Err(NotSet::Older));
    assert_eq!(world.set(&relay, settings(Accept::Anyone), 9), Err(NotSet::Older));
    close(&relay);
    let relay = world.start();
    assert_eq!(world.set(&relay, settings(Accept::Anyone), 10), Err(NotSet::Older), "also after a restart");
    let taken = relay.standing().expect("an open relay").1.taken;
    assert!(taken > 0, "settings have room, too");
    let now_set = relay.settings(did(1)).expect("an open relay");
    assert!(now_set.admits(did(2), true) && !now_set.admits(did(2), false) && !now_set.admits(did(3), true));
    assert_eq!(world.set(&relay, settings(Accept::Anyone), 11), Ok(()));
    assert_eq!(relay.standing().expect("an open relay").1.taken, taken);
    close(&relay);
}

#[test]
fn what_was_acknowledged_is_off_the_disk_after_the_compaction() {
    let world = World::new();
    let relay = world.start();
    let secret = "a text that is nowhere else on this disk";
    world.deliver(&relay, message(secret)).expect("room");
    let is_on_disk = || {
        fs::read_dir(world.path()).expect("a folder").any(|entry| {
            let bytes = fs::read(entry.expect("an entry").path()).unwrap_or_default();
            bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
        })
    };
    assert!(is_on_disk());
    world.acknowledge(&relay, 1, &[message(secret).id]);
    assert!(is_on_disk(), "deleting writes more and takes nothing away");
    close(&relay);
    let disk = Disk::open(&world.path()).expect("the database");
    disk.compact().expect("a compaction");
    drop(disk);
    assert!(!is_on_disk());
}

/// A wall clock that jumps ahead deletes nothing: mail expires by a clock that nobody sets.
#[test]
fn a_wall_clock_that_jumps_ahead_deletes_nothing() {
    const MONTH: u64 = 30 * 86_400_000;
    let world = World::new();
    let ahead = Clock { now: || now() + MONTH, doubted: Box::new(|| false) };
    let relay = Relay::start(&world.path(), &MailSettings::default(), ahead).expect("a thread");
    relay.wait_until_open(Duration::from_secs(20));
    let sure = relay.shared.sure_time((now(), clock::steady()));
    assert!((now()..now() + 2 * SLACK_MILLIS).contains(&sure), "{sure}");
    // One that goes back keeps mail longer.
    assert_eq!(relay.shared.sure_time((now() + 2 * MONTH, clock::steady())), now() + MONTH);
    close(&relay);
}

#[test]
fn deleted_mail_is_compacted_away_once_a_day_restarts_included() {
    let world = World::new();
    let open = || {
        let disk = Disk::open(&world.path()).expect("the database");
        Arc::new(Mailroom::open(disk, MailSettings::default().limits()).expect("mail"))
    };
    Disk::create_if_missing(&world.path()).expect("a database");
    let mail = open();
    mail.compact_if_due(now()).expect("a thread");
    until("it is done and recorded", || {
        mail.compact_if_due(now()).expect("a write");
        mail.compacted() == Some(now())
    });
    // Its thread lets go of the database a moment later.
    until("nobody else has it", || Arc::strong_count(&mail) == 1);
    drop(mail);
    let day = 86_400_000;
    let mail = open();
    assert_eq!(mail.compacted(), Some(now()), "recorded on the disk");
    mail.compact_if_due(now() + day / 2).expect("nothing to do");
    assert_eq!(mail.compacted(), Some(now()), "not so soon");
    mail.compact_if_due(now() + day).expect("a thread");
    until("it is done again", || {
        mail.compact_if_due(now() + day).expect("a write");
        mail.compacted() == Some(now() + day)
    });
}
