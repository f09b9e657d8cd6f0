//! Mail that is damaged, missing, moved or exchanged.

use super::*;

#[test]
fn damage_at_start_is_named_and_ends_nothing_and_what_is_put_right_opens() {
    let world = World::new();
    let relay = world.start();
    for content in ["one", "two"] {
        world.deliver(&relay, message(content)).expect("room");
    }
    close(&relay);
    let log = fs::read_dir(world.path()).expect("a folder").map(|entry| entry.expect("an entry").path());
    let log =
        log.filter(|path| path.extension().is_some_and(|end| end == "log")).max().expect("a record file");
    let whole = fs::read(&log).expect("a file");
    let mut damaged = whole.clone();
    damaged[20] ^= 1;
    fs::write(&log, &damaged).expect("a file");
    let relay = world.start();
    let failure = relay.failure().expect("it is damaged");
    assert!(failure.contains("damaged"), "{failure}");
    assert_eq!(world.deliver(&relay, message("three")), Err(Unavailable::Closed.into()));
    assert!(relay.page(did(1), 0, (9, 9), |_, _| true).is_err());
    assert!(relay.standing().is_none());
    close(&relay);
    assert_eq!(fs::read(&log).expect("a file"), damaged, "nothing was changed");
    fs::write(&log, &whole).expect("a file");
    let relay = world.start();
    assert_eq!(numbers(&relay, 1), [1, 2]);
    close(&relay);
}

#[test]
fn a_folder_without_a_database_is_not_taken_for_empty_mail() {
    let world = World::new();
    fs::create_dir(world.path()).expect("a folder");
    fs::write(world.path().join("MANIFEST-000001"), "of a database that lost the rest").expect("a file");
    let relay = world.start();
    assert!(relay.failure().is_some());
    close(&relay);
    fs::remove_file(world.path().join("MANIFEST-000001")).expect("a file");
    // A start that broke off while it made the database.
    fs::create_dir(world.folder.path().join("mail.new")).expect("a folder");
    fs::write(world.folder.path().join("mail.new/CURRENT"), "").expect("a file");
    let relay = world.start();
    assert_eq!(relay.failure(), None, "an empty folder is");
    world.deliver(&relay, message("one")).expect("room");
    close(&relay);
}

#[test]
fn mail_that_disappears_while_the_relay_runs_is_answered_as_unknown_and_not_begun_anew() {
    let world = World::new();
    let relay = world.start();
    world.deliver(&relay, message("one")).expect("room");
    let aside = world.folder.path().join("aside");
    fs::rename(world.path(), &aside).expect("a rename");
    assert_eq!(world.deliver(&relay, message("two")), Err(Unavailable::Closed.into()));
    until("the failure is known", || relay.failure().is_some_and(|why| why.contains("gone")));
    assert!(!world.path().exists());
    close(&relay);
    fs::rename(&aside, world.path()).expect("a rename");
    let relay = world.start();
    assert_eq!(numbers(&relay, 1)[..1], [1], "what was answered");
    assert!(
        world.deliver(&relay, message("two")).is_ok(),
        "stored or known: who was not answered sends again"
    );
    close(&relay);
}

/// An older copy in the place of the folder: what is written goes to the files that were moved away.
#[test]
fn a_folder_that_is_exchanged_while_the_relay_runs_is_noticed_and_nothing_is_answered() {
    let world = World::new();
    let relay = world.start();
    world.deliver(&relay, message("one")).expect("room");
    let older = world.folder.path().join("older");
    copy(&world.path(), &older);
    world.deliver(&relay, message("two")).expect("room");
    fs::rename(world.path(), world.folder.path().join("aside")).expect("a rename");
    fs::rename(&older, world.path()).expect("a rename");
    assert_eq!(world.deliver(&relay, message("three")), Err(Unavailable::Closed.into()));
    until("the failure is known", || relay.failure().is_some_and(|why| why.contains("another folder")));
    close(&relay);
}

#[test]
fn mail_without_its_write_ahead_log_is_damaged_and_no_older_mail() {
    let world = World::new();
    let relay = world.start();
    world.deliver(&relay, message("one")).expect("room");
    let remove = || {
        let files =
            fs::read_dir(world.path()).expect("a folder").map(|entry| entry.expect("an entry").path());
        let logs = files.filter(|path| path.extension().is_some_and(|end| end == "log"));
        logs.for_each(|log| fs::rename(&log, log.with_extension("aside")).expect("a rename"));
    };
    remove();
    assert_eq!(world.deliver(&relay, message("two")), Err(Unavailable::Closed.into()), "while it runs");
    close(&relay);
    let relay = world.start();
    assert!(relay.failure().is_some_and(|why| why.contains("write-ahead log")), "and at start");
    close(&relay);
}

#[test]
fn a_new_disk_in_the_place_of_the_folder_is_empty() {
    let world = World::new();
    fs::create_dir_all(world.path().join("lost+found")).expect("a folder");
    for _ in 0..2 {
        let relay = world.start();
        assert_eq!(relay.failure(), None);
        world.deliver(&relay, message("one")).expect("room");
        assert_eq!(numbers(&relay, 1), [1]);
        close(&relay);
    }
}

/// Whatever file of the mail is altered or missing: it is whole, or closed with a reason.
#[test]
fn no_altered_file_is_taken_for_less_mail() {
    let world = World::new();
    let relay = world.start();
    world.deliver(&relay, message("one")).expect("room");
    close(&relay);
    Disk::open(&world.path()).and_then(|disk| disk.compact()).expect("a compaction");
    let relay = world.start();
    for content in ["two", "three"] {
        world.deliver(&relay, message(content)).expect("room");
    }
    close(&relay);
    let altered = world.folder.path().join("altered");
    let shown = || -> Result<usize, StoreError> {
        let mail = Mailroom::open(Disk::open(&altered)?, MailSettings::default().limits())?;
        Ok(mail.page(did(1), 0, now(), (100, 1 << 20), |_, _| true)?.messages.len())
    };
    let (mut whole, mut closed) = (0, 0);
    let mut check = |what: String| match shown() {
        Ok(3) => whole += 1,
        Ok(fewer) => panic!("{what}: {fewer} of 3 messages"),
        Err(_) => closed += 1,
    };
    for entry in fs::read_dir(world.path()).expect("a folder") {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).expect("an entry");
        let bytes = fs::read(&path).expect("a file");
        let afresh = || {
            let _ = fs::remove_dir_all(&altered);
            copy(&world.path(), &altered);
        };
        afresh();
        fs::remove_file(altered.join(&name)).expect("a file");
        check(format!("without {name:?}"));
        for at in (0..bytes.len()).step_by(bytes.len() / 40 + 1) {
            afresh();
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << (at % 8);
            fs::write(altered.join(&name), bytes).expect("a file");
            check(format!("{name:?}, a bit of byte {at}"));
        }
    }
    assert!(whole > 0 && closed > 80, "{whole} whole, {closed} closed");
}

#[test]
fn two_relays_do_not_write_the_same_mail() {
    let world = World::new();
    let (first, second) = (world.start(), world.start());
    assert_eq!(first.failure(), None);
    assert!(second.failure().is_some());
    assert_eq!(world.deliver(&second, message("one")), Err(Unavailable::Closed.into()));
    world.deliver(&first, message("one")).expect("room");
    close(&second);
    close(&first);
}
