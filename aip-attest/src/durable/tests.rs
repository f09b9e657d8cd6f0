use super::*;

#[test]
fn a_new_file_is_written_also_where_there_are_no_second_names() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("file");
    let link = |_: &Path, _: &Path| Err(io::Error::from(io::ErrorKind::Unsupported));
    assert!(write_new_by(link, &path, b"one", Readers::Owner).expect("written"));
    assert!(!write_new_by(link, &path, b"two", Readers::Owner).expect("refused"));
    assert_eq!(fs::read(&path).expect("there"), b"one");
    assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 1);
}

/// Whoever unpacked something into the home had a command wait for ever, or empty a file elsewhere.
#[cfg(unix)]
#[test]
fn a_lock_is_a_file_of_its_own() {
    let dir = tempfile::tempdir().expect("a folder");
    let [lock, pipe, link, dangling, whose] =
        ["lock", "pipe", "link", "dangling", "whose"].map(|name| dir.path().join(name));
    lock_file(&lock).expect("made");
    lock_file(&lock).expect("there").try_lock().expect("free");
    fs::write(&whose, "somebody's").expect("written");
    std::os::unix::fs::symlink(&whose, &link).expect("a link");
    std::os::unix::fs::symlink(dir.path().join("nowhere"), &dangling).expect("a link");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    for path in [&pipe, &link, &dangling, dir.path()] {
        lock_file(path).expect_err("no file of its own");
        open_lock(path).expect_err("nor if it came after the look");
    }
    assert_eq!(fs::read(&whose).expect("there"), b"somebody's");
    assert!(!dir.path().join("nowhere").exists());
}

#[test]
fn a_file_is_replaced_whole_and_leaves_no_other_name() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("a/b/file");
    write(&path, b"one", Readers::Everyone).expect("written");
    write(&path, b"two", Readers::Everyone).expect("written");
    assert_eq!(fs::read(&path).expect("read"), b"two");
    assert_eq!(fs::read_dir(dir.path().join("a/b")).expect("read").count(), 1);
}

/// A scanner that looked at the receipt when it was replaced made the command fail.
#[test]
fn what_another_program_has_open_is_waited_for_on_windows() {
    const SHARING_VIOLATION: i32 = 32;
    let tries = |platform, held_for: usize| {
        let mut tries = 0;
        let changed = while_held(platform, || {
            tries += 1;
            if tries > held_for { Ok(()) } else { Err(io::Error::from_raw_os_error(SHARING_VIOLATION)) }
        });
        (tries, changed.is_ok())
    };
    assert_eq!(tries(Platform::Windows, 2), (3, true));
    assert_eq!(tries(Platform::Windows, usize::MAX), (PAUSES_MILLIS.len() + 1, false));
    assert_eq!(tries(Platform::Unix, 2), (1, false));
    let other = while_held(Platform::Windows, || Err(io::ErrorKind::NotFound.into()));
    assert_eq!(other.expect_err("not there").kind(), io::ErrorKind::NotFound);
}

/// Of five processes that wrote receipts to one place, one found a receipt in a list and then did not find it.
#[test]
fn what_is_just_being_replaced_is_read_on_windows() {
    let reads = |platform, gone_for: usize| {
        let mut reads = 0;
        let read = while_moved(platform, || {
            reads += 1;
            if reads > gone_for { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
        });
        (reads, read.is_ok())
    };
    assert_eq!(reads(Platform::Windows, 2), (3, true));
    assert_eq!(reads(Platform::Windows, usize::MAX), (5, false));
    assert_eq!(reads(Platform::Unix, 2), (1, false));
}

#[cfg(windows)]
#[test]
fn a_file_that_is_held_open_is_replaced_once_it_is_free() {
    use std::os::windows::fs::OpenOptionsExt as _;
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("file");
    write(&path, b"one", Readers::Everyone).expect("written");
    let held = OpenOptions::new().read(true).share_mode(1).open(&path).expect("open");
    assert!(
        fs::write(dir.path().join("other"), b"x").is_ok()
            && fs::rename(dir.path().join("other"), &path).is_err()
    );
    let scanner = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        drop(held);
    });
    write(&path, b"two", Readers::Everyone).expect("written");
    scanner.join().expect("no panic");
    assert_eq!(fs::read(&path).expect("read"), b"two");
}

#[test]
fn a_new_file_is_put_where_nothing_is() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("a/file");
    assert!(write_new(&path, b"one", Readers::Owner).expect("written"));
    assert!(!write_new(&path, b"two", Readers::Owner).expect("left"));
    assert_eq!(fs::read(&path).expect("read"), b"one");
    assert_eq!(fs::read_dir(dir.path().join("a")).expect("read").count(), 1);
}

#[test]
fn what_is_set_aside_takes_a_free_name() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("file");
    let names = || (1..3).map(|number| dir.path().join(format!("{number}.old")));
    assert_eq!(set_aside(&path, names()).expect("nothing to do"), None);
    assert_eq!(fs::read_dir(dir.path()).expect("read").count(), 0);
    for number in 1..3 {
        write(&path, &[number], Readers::Owner).expect("written");
        let old = set_aside(&path, names()).expect("moved").expect("a name");
        assert_eq!(fs::read(old).expect("read"), [number]);
    }
    write(&path, b"x", Readers::Owner).expect("written");
    assert!(set_aside(&path, names()).is_err());
    assert!(path.exists());
}

#[test]
fn what_is_replaced_is_kept_and_the_place_is_never_empty() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("file");
    let names = || (1..3).map(|number| dir.path().join(format!("{number}.old")));
    assert_eq!(replace(&path, b"one", Readers::Owner, names()).expect("written"), None);
    // When the old one gets its second name, the new one is whole already, and the old one still in its place.
    let seen = names().inspect(|_| {
        assert_eq!(fs::read(&path).expect("there"), b"one");
        let unfinished = |entry: &fs::DirEntry| entry.file_name().to_str().and_then(unfinished).is_some();
        let entries = fs::read_dir(dir.path()).expect("a folder").flatten();
        let new: Vec<_> =
            entries.filter(unfinished).map(|entry| fs::read(entry.path()).expect("read")).collect();
        assert_eq!(new, [b"two"]);
    });
    let kept = replace(&path, b"two", Readers::Owner, seen).expect("written").expect("a name");
    assert_eq!(
        (fs::read(&path).expect("read"), fs::read(kept).expect("read")),
        (b"two".into(), b"one".into())
    );
    replace(&path, b"three", Readers::Owner, names()).expect("written");
    assert!(replace(&path, b"four", Readers::Owner, names()).is_err());
    assert_eq!(fs::read(&path).expect("read"), b"three");
    assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 3);
}

#[cfg(unix)]
#[test]
fn a_symlink_that_is_replaced_is_kept_as_one() {
    let dir = tempfile::tempdir().expect("a folder");
    let (link, target) = (dir.path().join("link"), dir.path().join("target"));
    fs::write(&target, b"old").expect("written");
    std::os::unix::fs::symlink("target", &link).expect("a link");
    let name = dir.path().join("kept");
    replace(&link, b"new", Readers::Owner, [name.clone()].into_iter()).expect("written");
    assert_eq!(fs::read(&name).expect("read"), b"old");
    assert_eq!(
        (fs::read(&target).expect("read"), fs::read(&link).expect("read")),
        (b"old".into(), b"new".into())
    );
}

#[cfg(unix)]
#[test]
fn a_symlink_stays_and_what_it_names_is_written() {
    let dir = tempfile::tempdir().expect("a folder");
    let [link, middle, target] = ["link", "middle", "below/target"].map(|name| dir.path().join(name));
    std::os::unix::fs::symlink("middle", &link).expect("a link");
    std::os::unix::fs::symlink(&target, &middle).expect("a link");
    for text in ["new", "over it"] {
        write(&link, text.as_bytes(), Readers::Everyone).expect("written");
        assert_eq!(fs::read_to_string(&target).expect("read"), text);
        assert!(link.is_symlink() && middle.is_symlink() && !target.is_symlink());
    }
    let ring = dir.path().join("ring");
    std::os::unix::fs::symlink("ring", &ring).expect("a link");
    assert!(write(&ring, b"x", Readers::Everyone).is_err());
    assert!(ring.is_symlink());
}

#[cfg(unix)]
#[test]
fn a_pipe_is_written_into_and_never_with_a_secret() {
    use std::os::unix::fs::FileTypeExt as _;
    let dir = tempfile::tempdir().expect("a folder");
    let pipe = dir.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    assert!(write(&pipe, b"secret", Readers::Owner).is_err());
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::read(pipe)
    });
    write(&pipe, b"data", Readers::Everyone).expect("written");
    // First: a pipe that was replaced is read by nobody, and its reader waits for ever.
    assert!(pipe.symlink_metadata().expect("there").file_type().is_fifo());
    assert_eq!(reader.join().expect("no panic").expect("read"), b"data");
    assert_eq!(fs::read_dir(dir.path()).expect("read").count(), 1);
}

#[cfg(unix)]
#[test]
fn a_private_file_and_its_folder_are_the_owners() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("private/file");
    write(&path, b"secret", Readers::Owner).expect("written");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&dir.path().join("private"))), (0o600, 0o700));
}

#[test]
fn a_long_name_can_be_written() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("é".repeat(120));
    write(&path, b"x", Readers::Everyone).expect("written");
    assert!(path.exists());
}

#[test]
fn an_unfinished_file_is_known_by_its_name() {
    for name in ["file", "a.b", &"é".repeat(120)] {
        let temporary = temporary_name(&Path::new("folder").join(name)).expect("a name");
        let temporary = temporary.file_name().and_then(|name| name.to_str()).expect("UTF-8").to_owned();
        assert_eq!(unfinished(&temporary), Some(start_of(name)));
        assert_eq!(unfinished(&temporary[1..]), None);
        assert_eq!(unfinished(&format!("{temporary}x")), None);
    }
}
