//! `init`, `whoami`, `key export`: where keys are, who may read them, and that nothing else prints one.

use serde_json::json;

use crate::world::{OTHER_PROGRAM, Ran, SIGNER_SEED, World, did, vectors};

const SEED: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// The Python client's files, written for the passphrase `correct horse`.
const ENCRYPTED: &str = concat!(
    r#"{"format":"aip-encrypted-v1","did":"did:aip:56475aa75463474c0285df5dbf2bcab7","#,
    r#""salt":"ythGXossfHbZOwuC2se5pA==","ciphertext":""#,
    "Rgc8YR0UsJKtp3KKlo/7KH+m7V0BWIAw8+mSGnTvmQjljX70obY3GofEUrn/0qzJ3vcALQRXcWSMNjzU",
    "lpU4WJGaTLDbXPBTfou12Z9QoVLLDPe8C0QUH3u8CWEoDmztZB8VbjbmwukNXrgK1KNawXwMRBOPuL01",
    "EfyH+bt9PQfNFVw6IUkgHLjQqBZCbpWowaTv8LPSi2BzXKLWAObJIXvOgkSgbkX91TiC8ip/qjzGVeMo",
    "ScV6kMIwDLhH5YewD6aOo3I7zETQG0wRIkmQjkvQeg==",
    r#""}"#,
);

fn plain(did: &str) -> String {
    json!({"did": did, "private_key": SEED}).to_string()
}

fn says(ran: &Ran, did: &str) -> bool {
    ran.code == 0 && ran.stdout.lines().next() == Some(&format!("DID: {did}"))
}

/// The files with an identity: without the keys that come after it.
fn identities(world: &World) -> Vec<String> {
    let mut files = world.files();
    files.retain(|name| ["next-", "aip-recovery-", "keys.lock"].iter().all(|other| !name.contains(other)));
    files
}

#[test]
fn init_as_announced_makes_an_identity_and_keeps_it() {
    let world = World::new();
    let made =
        world.run_as(crate::world::OTHER_PROGRAM, &["init", "--platform", "github", "--username", "my-org"]);
    made.expect(0, &["DID: did:aip:", "whoever has it signs in this name"]);
    let file = world.json(".aip/credentials.json");
    let members: Vec<&str> =
        vec!["did", "platform", "private_key", "public_key", "registered_at", "username"];
    assert_eq!(file.as_object().expect("an object").keys().collect::<Vec<_>>(), members);
    assert_eq!((&file["platform"], &file["username"]), (&json!("github"), &json!("my-org")));
    let did = file["did"].as_str().expect("text").to_owned();
    assert!(says(&made, &did));
    assert!(says(&world.run(&["init"]), &did), "there is one already");
    let whoami = world.run(&["whoami"]);
    whoami.expect(0, &["DID (key): did:key:z6Mk", "Platform: github/my-org", "Source: "]);
    assert!(says(&whoami, &did));
    // Nobody else reads the key, and no other command shows it.
    let key = file["private_key"].as_str().expect("text");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |name| std::fs::metadata(world.path(name)).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(".aip"), mode(".aip/credentials.json")), (0o700, 0o600));
    }
    world.file("app", b"x");
    for arguments in [
        &["init"][..],
        &["whoami", "--json"],
        &["sign", "app", "--no-log"],
        &["inspect", ".aip/credentials.json"],
    ] {
        let ran = world.run(arguments);
        assert_eq!(ran.code, 0, "{ran:#?}");
        assert!(!ran.stdout.contains(key) && !ran.stderr.contains(key), "{arguments:?}");
    }
    let exported = world.run(&["key", "export"]);
    assert_eq!((exported.code, exported.stdout.as_str()), (0, format!("{key}\n").as_str()));
    assert_eq!(exported.stderr, "");
}

#[test]
fn init_takes_the_positional_form_and_replaces_only_by_force() {
    let world = World::new();
    world.run(&["init", "github", "my-org"]).expect(0, &["DID: did:aip:"]);
    let first = world.read(".aip/credentials.json");
    world.run(&["init", "gitlab", "x", "--force"]).expect(0, &["is kept in", "credentials.json.1.old"]);
    assert_ne!(world.read(".aip/credentials.json"), first);
    assert_eq!(world.read(".aip/credentials.json.1.old"), first);
    world.run(&["init", "--force"]).expect(0, &["credentials.json.2.old"]);
    world.run(&["init", "github", "my-org", "more"]).expect(2, &["error:"]);
    world.run(&["init", "github", "--platform", "github"]).expect(2, &["cannot be used with"]);
    // Elsewhere, if the variable says so.
    let world = World::new();
    let path = world.path("secret/key.json");
    let world = world.env("AIP_CREDENTIALS_PATH", path.to_str().expect("UTF-8"));
    world.run(&["init"]).expect(0, &["DID:"]);
    assert_eq!(identities(&world), ["secret/key.json"]);
    assert_eq!(world.files().iter().filter(|name| name.starts_with("secret/next-")).count(), 1);
    // What is no identity is not overwritten.
    world.file("secret/key.json", b"{\"something\":\"else\"}");
    world.run(&["init"]).expect(2, &["it has no `did` or no `private_key`"]);
    assert_eq!(world.read("secret/key.json"), "{\"something\":\"else\"}");
}

/// Starts `count` at once.
fn init_at_once(world: &World, count: usize, flags: &[&str]) -> Vec<Ran> {
    let start = std::sync::Barrier::new(count);
    let run = || {
        start.wait();
        world.run(&[&["init"], flags].concat())
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..count).map(|_| scope.spawn(run)).collect();
        running.into_iter().map(|one| one.join().expect("it ran")).collect()
    })
}

fn did_of(ran: &Ran) -> &str {
    ran.stdout.lines().next().and_then(|line| line.strip_prefix("DID: ")).expect("a DID")
}

/// One makes the identity, the others are told of it: nobody gets a DID whose key is nowhere.
#[test]
fn of_several_inits_at_once_one_makes_the_identity() {
    for _ in 0..20 {
        let world = World::new();
        let all = init_at_once(&world, 8, &[]);
        assert_eq!(identities(&world), [".aip/credentials.json"]);
        // And what comes after it: nothing of those who came later.
        let digits =
            world.json(".aip/credentials.json")["did"].as_str().expect("a DID").replace("did:aip:", "");
        let want = [
            ".aip/credentials.json",
            ".aip/keys.lock",
            &format!(".aip/next-{digits}.json"),
            &format!("aip-recovery-{digits}.json"),
        ];
        assert_eq!(world.files(), want);
        let file = world.json(".aip/credentials.json");
        let made = all.iter().filter(|ran| ran.stderr.contains("the key is in")).count();
        assert_eq!(made, 1, "{all:#?}");
        for ran in &all {
            assert_eq!((ran.code, did_of(ran)), (0, file["did"].as_str().expect("a DID")), "{all:#?}");
        }
    }
}

/// Killed at any moment, a replacement leaves an identity: the old one, or the new one and the old one beside it.
#[test]
fn an_init_by_force_that_is_killed_leaves_an_identity() {
    let world = World::new();
    let mut known = vec![did_of(&world.run(&["init"])).to_owned()];
    let start = std::time::Instant::now();
    known.push(did_of(&world.run(&["init", "--force"])).to_owned());
    let whole = start.elapsed();
    let mut killed = 0;
    for part in 1..=KILLS {
        let mut aip = world.command(crate::world::PROGRAM);
        let aip = aip.args(["init", "--force"]).stdout(std::process::Stdio::null());
        let mut aip = aip.stderr(std::process::Stdio::null()).spawn().expect("aip runs");
        std::thread::park_timeout(whole * part / KILLS);
        aip.kill().expect("ours");
        killed += u32::from(!aip.wait().expect("a process that was killed ends").success());
        let now = world.json(".aip/credentials.json")["did"].as_str().expect("a DID").to_owned();
        if !known.contains(&now) {
            known.push(now);
        }
        let kept: Vec<String> = identities(&world)
            .iter()
            .filter(|name| !name.ends_with(".aip-tmp"))
            .map(|name| world.json(name)["did"].as_str().expect("a DID").to_owned())
            .collect();
        assert!(known.iter().all(|did| kept.contains(did)), "{known:?} {kept:?}");
        world.run(&["whoami"]).expect(0, &[]);
    }
    assert!(killed > 0, "all ended before they were killed");
    world.run(&["init", "--force"]).expect(0, &[]);
    assert!(
        !world.files().iter().any(|name| name.contains(".credentials.json.")),
        "nothing unfinished is left"
    );
}

/// Spread over the time that an `init` takes.
const KILLS: u32 = 40;

/// By force each replaces the one before it, and every key is kept.
#[test]
fn of_several_inits_by_force_no_key_is_lost() {
    for _ in 0..10 {
        let world = World::new();
        let first = world.run(&["init"]);
        let all = init_at_once(&world, 8, &["--force"]);
        let kept: Vec<String> = identities(&world)
            .iter()
            .map(|name| world.json(name)["did"].as_str().expect("a DID").to_owned())
            .collect();
        assert!(all.iter().all(|ran| ran.code == 0), "{all:#?}");
        for did in all.iter().chain([&first]).map(did_of) {
            assert!(kept.iter().any(|kept| kept == did), "{did}: {kept:?}");
        }
    }
}

#[test]
fn keys_are_looked_for_in_their_order() {
    let own = did().to_string();
    let world = World::new();
    world.run(&["whoami"]).expect(2, &["there is no identity", "aip-attest init"]);
    world.file(".openclaw/workspace/credentials/aip_credentials.json", plain(&own).as_bytes());
    assert!(says(&world.run(&["whoami"]), &own));
    // A file without a key does not count; one with a key comes before the other place.
    world.file(".aip/credentials.json", b"{\"did\":\"did:aip:x\"}");
    assert!(says(&world.run(&["whoami"]), &own));
    world.file(".aip/credentials.json", b"{\"did\":\"did:aip:x\",");
    world.run(&["whoami"]).expect(2, &["cannot read the credentials file", "line 1"]);
    world.run(&["init", "--force"]).expect(0, &[]);
    let other = world.run(&["whoami"]);
    assert!(!says(&other, &own));
    // The named file counts alone.
    let world = world.env("AIP_CREDENTIALS_PATH", "nowhere.json");
    world.run(&["whoami"]).expect(2, &["`nowhere.json` does not exist"]);
    world.file("nowhere.json", plain(&own).as_bytes());
    assert!(says(&world.run(&["whoami"]), &own));
    // The environment comes before every file.
    let world =
        world.env("AIP_DID", &own).env("AIP_PRIVATE_KEY", SEED).env("AIP_CREDENTIALS_PATH", "none.json");
    let ran = world.run(&["whoami"]);
    ran.expect(0, &["Source: environment"]);
    assert!(says(&ran, &own));
    assert_eq!(world.run(&["key", "export"]).stdout, format!("{SEED}\n"));
}

/// An identity that is anywhere in the search order is kept, and replaced in its place.
#[test]
fn init_makes_no_other_identity_beside_one() {
    let own = did().to_string();
    let world = World::new();
    let place = ".openclaw/workspace/credentials/aip_credentials.json";
    world.file(place, plain(&own).as_bytes());
    let ran = world.run(&["init"]);
    ran.expect(0, &["there is an identity in", place, "--force replaces it"]);
    assert_eq!((did_of(&ran), world.files()), (own.as_str(), vec![place.to_owned()]));
    let ran = world.run(&["init", "--force"]);
    ran.expect(0, &[&format!("{place}.1.old")]);
    assert_eq!(world.json(place)["did"], did_of(&ran));
    assert!(!world.path(".aip").exists());
}

/// What stands where a DID should may be a key.
#[test]
fn what_is_no_did_is_not_repeated() {
    let world = World::new();
    world.file(".aip/credentials.json", plain(&did().to_string()).as_bytes());
    let beside = world.env("AIP_DID", SEED);
    let alone = World::new().env("AIP_DID", SEED).env("AIP_PRIVATE_KEY", SEED);
    let in_file = World::new();
    in_file.file(".aip/credentials.json", plain(SEED).as_bytes());
    let encrypted = World::new().env("AIP_PASSPHRASE", "correct horse");
    let text = ENCRYPTED.replace(&did().to_string(), SEED);
    assert!(text.contains(SEED));
    encrypted.file(".aip/credentials.json", text.as_bytes());
    for world in [&beside, &alone, &in_file, &encrypted] {
        for arguments in [&["whoami"][..], &["whoami", "--json"], &["key", "export"], &["init"]] {
            let ran = world.run(arguments);
            assert!(!ran.stdout.contains(SEED) && !ran.stderr.contains(SEED), "{arguments:?}: {ran:#?}");
        }
        world.run(&["whoami"]).expect(2, &["is no DID", "`did:aip:` and 32 lower-case hex digits"]);
    }
}

#[test]
fn a_did_that_is_not_the_keys_is_exit_2() {
    let other = "did:aip:00000000000000000000000000000000";
    let own = did().to_string();
    let key = tlog::encoding::base64(&SIGNER_SEED);
    let env = |did: &str, key: &str| World::new().env("AIP_DID", did).env("AIP_PRIVATE_KEY", key);
    for arguments in [&["whoami"][..], &["sign", "app", "--no-log"], &["key", "export"]] {
        let world = env(other, &key);
        world.file("app", b"x");
        world.run(arguments).expect(2, &["AIP_DID is not the DID of its key", &own]);
        assert_eq!(world.files(), ["app"]);
    }
    env(&own, "").run(&["whoami"]).expect(2, &["there is no identity"]);
    env("", &key).run(&["whoami"]).expect(2, &["AIP_PRIVATE_KEY is set without AIP_DID", &own]);
    // In a file too, and in a file against the variable.
    let world = World::new();
    world.file(".aip/credentials.json", plain(other).as_bytes());
    world.run(&["whoami"]).expect(2, &["is not the DID of its key"]);
    world.file(".aip/credentials.json", plain(&own).as_bytes());
    world
        .env("AIP_DID", other)
        .run(&["whoami"])
        .expect(2, &["AIP_DID is not the DID of the key in the credentials file"]);
    // Keys that are none are not repeated in the message.
    for bad in ["s3cret-but-wrong", "AAAA", "00", &"zz".repeat(32)] {
        let ran = env(&own, bad).run(&["sign", "x", "--no-log"]);
        ran.expect(2, &["AIP_PRIVATE_KEY is no private key"]);
        assert!(!ran.stderr.contains(bad), "{ran:#?}");
    }
    // What a store of secrets keeps around a value is no part of it.
    env(&format!(" {own}\n"), &format!("{key}\n")).run(&["whoami"]).expect(0, &[&own]);
    // Hex, and seed with public key, are keys.
    let vectors = vectors("entry.json");
    let public = hex::decode(vectors["signer"]["public_hex"].as_str().expect("text")).expect("hex");
    let both = tlog::encoding::base64(&[&SIGNER_SEED[..], &public].concat());
    for key in [hex::encode(SIGNER_SEED), both] {
        env(&own, &key).run(&["whoami"]).expect(0, &[&own]);
    }
}

#[test]
fn an_encrypted_file_is_written_and_read() {
    let own = did().to_string();
    let world = World::new().env("AIP_PASSPHRASE", "correct horse");
    world.file(".aip/credentials.json", ENCRYPTED.as_bytes());
    assert_eq!(world.run(&["key", "export"]).stdout, format!("{SEED}\n"));
    let whoami = world.run(&["whoami"]);
    whoami.expect(0, &["the file is encrypted"]);
    assert!(says(&whoami, &own));
    let world = world.env("AIP_PASSPHRASE", "wrong");
    world.run(&["key", "export"]).expect(2, &["the passphrase does not open it"]);
    world.run(&["init", "--encrypt", "--force"]).expect(0, &["DID: did:aip:"]);
    let file = world.read(".aip/credentials.json");
    assert!(file.contains("aip-encrypted-v1") && !file.contains("private_key"));
    world.file("app", b"x");
    world.run(&["sign", "app", "--no-log"]).expect(0, &["signed"]);
    // No passphrase and nobody to ask.
    if std::fs::File::open("/dev/tty").is_err() {
        world.env("AIP_PASSPHRASE", "").run(&["key", "export"]).expect(2, &["set AIP_PASSPHRASE"]);
    }
}

#[cfg(unix)]
#[test]
fn a_file_that_others_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new();
    let path = world.file(".aip/credentials.json", plain(&did().to_string()).as_bytes());
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).expect("opened");
    world.run(&["whoami"]).expect(0, &["warning: others can read", "mode 644", "chmod 600"]);
    // A folder's mode is nothing to change.
    let folder = world.path("folder");
    std::fs::create_dir(&folder).expect("made");
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).expect("opened");
    let ran = world.env("AIP_CREDENTIALS_PATH", "folder").run(&["whoami"]);
    ran.expect(2, &["cannot read the credentials file `folder`"]);
    assert!(!ran.stderr.contains("chmod"), "{ran:#?}");
}

/// Before a key is made: the inception that would refuse it comes later, and from another command.
#[test]
fn a_name_that_no_inception_takes_makes_no_identity() {
    let world = World::new();
    for name in ["", "a\nb", &"x".repeat(129)] {
        world.run(&["init", "--public-name", name]).expect(2, &["--public-name", "1 to 128 bytes"]);
        assert_eq!(world.files(), [""; 0], "{name:?}");
    }
    world.run(&["init", "--public-name", &"x".repeat(128)]).expect(0, &["DID: "]);
}

/// The hint that is given can be typed as it stands: with the program's name that was typed, and as the identity that was
/// named.
#[test]
fn hints_are_to_be_typed_as_they_stand() {
    let world = World::new();
    world.transcript(
        "
$ aip whoami
? 2
! error: there is no identity: neither AIP_DID and AIP_PRIVATE_KEY nor a credentials file
! hint: `aip init` makes one; in CI set both variables from secrets

$ aip-attest whoami
? 2
! error: there is no identity: neither AIP_DID and AIP_PRIVATE_KEY nor a credentials file
! hint: `aip-attest init` makes one; in CI set both variables from secrets

$ aip policy show
? 0
! note: no log is pinned
! hint: `aip policy pin URL` pins one

$ aip --as org whoami
? 2
! error: there is no identity `org` here
! hint: `aip --as org init` makes it

$ aip --as org policy show
? 0
! note: no log is pinned
! hint: `aip --as org policy pin URL` pins one
",
    );
    let json = world.run_as(OTHER_PROGRAM, &["verify", "nothing", "--any-signer", "--json"]).stdout;
    assert!(!json.contains("aip-attest "), "{json}");
    let help = world.run_as(OTHER_PROGRAM, &["key", "export", "--help"]).stdout;
    assert!(help.contains("aip key export | gh secret set") && !help.contains("aip-attest "), "{help}");
}

#[test]
fn help_is_a_command_too() {
    let world = World::new();
    let ran = |arguments: &[&str]| world.run_as(OTHER_PROGRAM, arguments);
    assert_eq!(ran(&["help"]).expect(0, &["Sign and verify:", "help sign"]).stdout, ran(&["--help"]).stdout);
    assert_eq!(
        ran(&["help", "policy", "pin"]).expect(0, &["--offline"]).stdout,
        ran(&["policy", "pin", "--help"]).stdout
    );
    ran(&["help", "nothing"]).expect(2, &["nothing"]);
}

/// What one identity has lies beside its credentials, and another one of the same user has nothing to do with it.
#[test]
fn a_second_identity_has_a_folder_of_its_own() {
    let world = World::new();
    let did = |ran: &Ran| ran.json()["did"].as_str().expect("a DID").to_owned();
    let plain = did(world.run(&["init", "--json"]).expect(0, &[]));
    let made = world.run(&["--as", "org", "init", "--capabilities", "vouches", "--json"]);
    let org = did(made.expect(0, &["this key vouches", "`aip-attest --as ci init`"]));
    assert_ne!(plain, org);
    assert!(!made.stderr.contains("key export"), "an organisation's key is not for a CI: {made:#?}");
    let folder = ".aip/identities/org/";
    let names = world.files();
    let of_org: Vec<&str> = names.iter().filter_map(|name| name.strip_prefix(folder)).collect();
    let next = format!("next-{}.json", org.trim_start_matches("did:aip:"));
    assert_eq!(of_org, ["credentials.json", "keys.lock", &next], "{names:?}");
    let recovery = made.json()["recoveryKey"].as_str().expect("a path").to_owned();
    assert!(recovery.contains(org.trim_start_matches("did:aip:")), "{recovery}");

    let who = |arguments: &[&str]| {
        did(world.run(&[arguments, &["whoami", "--offline", "--json"]].concat()).expect(0, &[]))
    };
    assert_eq!((who(&[]), who(&["--as", "org"])), (plain.clone(), org.clone()));
    assert_eq!(
        did(world.run(&["whoami", "--as", "org", "--offline", "--json"]).expect(0, &[])),
        org,
        "behind the command"
    );
    // Again is no second one.
    world.run(&["--as", "org", "init"]).expect(0, &[&org, "there is an identity"]);
    let exported = world.run(&["--as", "org", "key", "export"]);
    exported.expect(0, &["this key vouches"]);
    assert_ne!(exported.stdout, world.run(&["key", "export"]).expect(0, &[]).stdout);
    world.file("app", b"app");
    world.run(&["--as", "org", "sign", "--no-log", "app"]).expect(0, &["signed   app"]);
    assert_eq!(world.json("app.receipt.json")["did"], org.as_str());
    world.run(&["--as", "ci", "whoami"]).expect(2, &["no identity `ci`", "those that are here: `org`"]);

    // The variable says the same; the flag comes before it, and before a key of the environment.
    let world = world.env("AIP_AS", "org");
    assert_eq!(did(world.run(&["whoami", "--offline", "--json"]).expect(0, &[])), org);
    world.run(&["--as", "ci", "whoami"]).expect(2, &["no identity `ci`"]);
    let with_key = World::with_key();
    let own = did(with_key.run(&["--as", "org", "init", "--json"]).expect(0, &[]));
    let ran = with_key.run(&["--as", "org", "whoami", "--offline", "--json"]);
    assert_eq!(did(ran.expect(0, &[])), own);
    assert!(!ran.stderr.contains("AIP_PRIVATE_KEY"), "{ran:#?}");
    for (name, value) in [("AIP_PRIVATE_KEY", "x"), ("AIP_CREDENTIALS_PATH", "file"), ("AIP_DID", &plain)] {
        let world = World::new().env("AIP_AS", "org").env(name, value);
        for command in [&["whoami"][..], &["init"], &["key", "export"], &["rotate-key"]] {
            world.run(command).expect(2, &[&format!("AIP_AS and {name} name two identities")]);
        }
        assert!(world.files().is_empty(), "{:?}", world.files());
    }
}

#[test]
fn an_identity_is_no_path() {
    for name in ["", "..", "../x", "a/b", "Org", ".org", "con", "a\\b"] {
        let world = World::new();
        world.run(&["--as", name, "init"]).expect(2, &["--as <NAME>"]);
        assert!(world.files().is_empty(), "{name}: {:?}", world.files());
        if !name.is_empty() {
            let world = world.env("AIP_AS", name);
            let said = format!("AIP_AS is `{}`", crate::world::with_slashes(name.to_owned()));
            world.run(&["init"]).expect(2, &[&said, "lower-case letters"]);
            assert!(world.files().is_empty(), "{name}: {:?}", world.files());
        }
    }
}
