//! The log, from outside: real program, real RocksDB, real HTTP.

use attestation::entry::Visibility::{Private, Public};
use attestation::receipt::{Signers, Verdict, VerifyPolicy};
use serde_json::{Value, json};
use testkit::log::{Log, ORIGIN, copy_folder};
use testkit::oracle::{check_log, checkpoint};
use testkit::signer::{Signed, Signer};
use tlog::{LeafIndex, TreeSize};

fn assert_verifies(log: &Log, signer: &Signer, signed: &Signed, answer: &Value) {
    let policy = log.policy();
    let verify = VerifyPolicy::new(&policy, Signers::OneOf(vec![signer.did()]));
    let report = signed.receipt(signer, answer).verify(&verify, &signed.artifact, None);
    assert_eq!(report.verdict(), Verdict::Verified, "{report:?}");
}

fn rule(problem: &Value) -> &str {
    problem["type"].as_str().and_then(|rule| rule.strip_prefix("urn:aip:problem:")).unwrap_or("no rule")
}

#[test]
fn an_entry_is_logged_once_and_its_receipt_verifies() {
    let mut log = Log::start(&[]);
    let signer = Signer::new(1);
    let published = signer.sign(ORIGIN, b"one", Public, 0);
    let (status, answer) = log.submit(&published.published());
    assert_eq!((status, answer["status"].as_str(), answer["index"].as_u64()), (200, Some("logged"), Some(0)));
    assert_verifies(&log, &signer, &published, &answer);
    // By hash, and private.
    let private = signer.sign(ORIGIN, b"one", Private, 0);
    let (status, answer) = log.submit(&private.by_hash());
    assert_eq!((status, answer["index"].as_u64()), (200, Some(1)));
    assert_verifies(&log, &signer, &private, &answer);
    // The same claim again is the same entry: now, in an array, and after a restart.
    let again = log.submit(&published.published()).1;
    assert_eq!(
        (again["index"].as_u64(), &again["leaf"]),
        (Some(0), &log.submit(&published.by_hash()).1["leaf"])
    );
    let many = log.submit(&json!([published.by_hash(), private.by_hash(), published.published()])).1;
    let indexes: Vec<_> = many.as_array().expect("results").iter().map(|one| one["index"].as_u64()).collect();
    assert_eq!(indexes, [Some(0), Some(1), Some(0)]);
    assert_eq!(log.stop(), Some(0));
    log.serve(&[]);
    let again = log.submit(&published.published()).1;
    assert_eq!(again["index"].as_u64(), Some(0));
    assert_verifies(&log, &signer, &published, &again);
    assert_eq!(check_log(&log).checkpoint.size, TreeSize::new(2));
    assert_eq!(log.stop(), Some(0));
    let fsck = log.fsck();
    assert_eq!(
        String::from_utf8_lossy(&fsck.stdout),
        "ok: 2 entries\n",
        "{}",
        String::from_utf8_lossy(&fsck.stderr)
    );
}

#[test]
fn a_bad_submission_does_not_sink_the_others_and_names_its_rule() {
    let log = Log::start(&["--max-envelope-bytes", "4000"]);
    let signer = Signer::new(1);
    let good = signer.sign(ORIGIN, b"good", Public, 0);
    let elsewhere = signer.sign("other.example/log", b"elsewhere", Public, 0);
    let mut junk_claim = good.by_hash();
    junk_claim["leaf"] = {
        let leaf = String::from_utf8(good.entry.to_bytes()).expect("JSON");
        let other = signer.sign(ORIGIN, b"other", Public, 0);
        let (own, others) =
            (tlog::encoding::base64(good.entry.signature()), tlog::encoding::base64(other.entry.signature()));
        tlog::encoding::base64(leaf.replace(&own, &others).as_bytes()).into()
    };
    let mut wrong_envelope = signer.sign(ORIGIN, b"a", Public, 0).published();
    wrong_envelope["envelope"] = signer.sign(ORIGIN, b"b", Public, 0).published()["envelope"].clone();
    // Not about an entry that is sent beside it: one that is known already is answered before its envelope is read.
    let mut junk_envelope = signer.sign(ORIGIN, b"junk", Public, 0).published();
    junk_envelope["envelope"]["signatures"][0]["sig"] = tlog::encoding::base64(&[7; 64]).into();
    let leaf = |text: &str| json!({"leaf": tlog::encoding::base64(text.as_bytes())});
    let spaced = String::from_utf8(good.entry.to_bytes()).expect("JSON").replacen(':', ": ", 1);
    let submissions = json!([
        elsewhere.by_hash(),
        junk_claim,
        wrong_envelope,
        junk_envelope,
        signer.sign(ORIGIN, b"secret", Private, 0).published(),
        signer.sign(ORIGIN, b"large", Public, 5_000).published(),
        leaf("{}"),
        leaf(&spaced),
        leaf(r#"{"apiVersion":"1","kind":"aip-index","spec":{}}"#),
        leaf(r#"{"apiVersion":"1","kind":"aip-event","spec":{}}"#),
        json!({"leaf": "?"}),
        json!({"leaf": tlog::encoding::base64(&vec![b' '; 70_000])}),
        json!({"leaf": "", "more": 1}),
        json!(7),
        good.published(),
    ]);
    let (status, answers) = log.submit(&submissions);
    assert_eq!(status, 200);
    let rules: Vec<&str> = answers
        .as_array()
        .expect("results")
        .iter()
        .map(|one| match one["status"].as_str() {
            Some("refused") => rule(&one["error"]),
            other => other.unwrap_or("none"),
        })
        .collect();
    assert_eq!(
        rules,
        [
            "origin",
            "claim-signature",
            "envelope-differs",
            "envelope-signature",
            "private-with-envelope",
            "envelope-size",
            "leaf",
            "leaf",
            "kind",
            "leaf",
            "leaf",
            "leaf-size",
            "submission",
            "submission",
            "logged",
        ]
    );
    // One submission: the problem itself, with its status.
    let (status, problem) = log.submit(&elsewhere.by_hash());
    assert_eq!((status, rule(&problem)), (422, "origin"));
    assert!(
        problem["title"]
            .as_str()
            .is_some_and(|title| title.contains("other.example/log") && title.contains(ORIGIN))
    );
    assert_eq!(checkpoint(&log).size, TreeSize::new(1));
}

#[test]
fn limits_are_named_when_they_refuse() {
    let log =
        Log::start(&["--max-request-entries", "2", "--max-body-bytes", "6000", "--max-leaf-bytes", "800"]);
    let signer = Signer::new(1);
    let small = signer.sign(ORIGIN, b"x", Private, 0).by_hash();
    for (body, want) in [
        (json!([small, small, small]), (413, "request-entries")),
        (json!([]), (413, "request-entries")),
        (json!([{"leaf": "A".repeat(8_000)}]), (413, "body-size")),
        (signer.sign(ORIGIN, b"x", Public, 0).by_hash(), (413, "leaf-size")),
    ] {
        let (status, problem) = log.submit(&body);
        assert_eq!((status, rule(&problem)), want);
    }
    let post = |encoding: &str, media: &str| {
        let request = log.http().post(format!("{}/api/v1/entries", log.url()));
        let request = request.header("content-encoding", encoding).header("content-type", media);
        let response = request.body("{}").send().expect("an answer");
        (response.status().as_u16(), rule(&response.json::<Value>().expect("JSON")).to_owned())
    };
    assert_eq!(post("gzip", "text/plain"), (415, "content-type".into()));
    assert_eq!(post("gzip", "application/json; charset=utf-8"), (415, "content-encoding".into()));
    assert_eq!(checkpoint(&log).size, TreeSize::EMPTY);
}

#[test]
fn whoever_does_not_wait_gets_a_status_url_and_never_a_loss() {
    let log = Log::start(&["--round-interval", "150ms"]);
    let signer = Signer::new(1);
    let first = signer.sign(ORIGIN, b"first", Public, 0);
    let _ = log.submit(&first.published());
    let second = signer.sign(ORIGIN, b"second", Public, 0);
    // Longer than its patience: not committed, not taken for sure; the same bytes again are the same entry.
    let (status, problem) = log.submit_with(&second.published(), &[("prefer", "wait=0")]);
    assert_eq!((status, rule(&problem)), (503, "deadline"));
    let (status, answer) = log.submit_with(&second.published(), &[("prefer", "respond-async")]);
    assert!(matches!(status, 200 | 202), "{status} {answer}");
    let url = format!("/api/v1/claims/{}", second.claim());
    if status == 202 {
        assert_eq!(answer["url"], json!(url));
    }
    let logged = log.submit(&second.published()).1;
    assert_eq!(log.json(&url), (200, logged));
    assert_eq!(log.json(&format!("/api/v1/claims/{}", "0".repeat(64))).0, 404);
    assert_eq!(checkpoint(&log).size, TreeSize::new(2));
}

#[test]
fn what_is_published_is_found_and_proved() {
    let log = Log::start(&[]);
    let signers = [Signer::new(1), Signer::new(2)];
    let signed: Vec<Signed> = (0..600u32)
        .map(|i| signers[i as usize % 2].sign(ORIGIN, &(i / 3).to_be_bytes(), Public, 0))
        .collect();
    let batch: Vec<Value> = signed.iter().map(Signed::published).collect();
    let (status, answers) = log.submit(&Value::Array(batch));
    assert_eq!(status, 200);
    let seen = check_log(&log);
    // Two signers say the same of artifact 0: entries 0 and 1 differ, entry 2 is entry 0 again.
    let distinct = answers.as_array().expect("results").iter().filter_map(|one| one["index"].as_u64());
    let distinct: std::collections::BTreeSet<u64> = distinct.collect();
    assert_eq!(distinct.len(), seen.leaves.len());
    // By artifact.
    let artifact = signed[0].artifact;
    let (_, page) = log.json(&format!("/api/v1/entries?artifact=sha256:{artifact}"));
    assert_eq!(page["entries"].as_array().map(Vec::len), Some(2), "{page}");
    // By DID, in pages, both ways.
    for order in ["asc", "desc"] {
        let mut next = Some(format!("/api/v1/entries?did={}&order={order}&limit=70", signers[0].did()));
        let mut indexes = Vec::new();
        while let Some(path) = next {
            let (status, page) = log.json(&path);
            assert_eq!(status, 200, "{page}");
            indexes.extend(
                page["entries"].as_array().expect("entries").iter().filter_map(|one| one["index"].as_u64()),
            );
            next = page["next"].as_str().map(str::to_owned);
        }
        let mut want: Vec<u64> = signed
            .iter()
            .zip(answers.as_array().expect("results"))
            .filter(|(signed, _)| signed.entry.claim().did() == signers[0].did())
            .filter_map(|(_, answer)| answer["index"].as_u64())
            .collect();
        want.sort_unstable();
        want.dedup();
        if order == "desc" {
            want.reverse();
        }
        assert_eq!(indexes, want, "{order}");
    }
    // Proofs at any size, immutable.
    let size = seen.checkpoint.size;
    for (index, at) in
        [(0, 1), (0, size.get()), (255, 256), (255, 300), (256, 257), (size.get() - 1, size.get())]
    {
        let (status, proof) = log.json(&format!("/api/v1/proofs/inclusion/{index}/{at}"));
        assert_eq!(status, 200, "{proof}");
        let hash = |text: &Value| text.as_str().and_then(tlog::Hash::from_base64).expect("a hash");
        let hashes: Vec<_> = proof["hashes"].as_array().expect("hashes").iter().map(hash).collect();
        let root = seen.root(TreeSize::new(at));
        assert_eq!(hash(&proof["root"]), root);
        let leaf = tlog::merkle::leaf_hash(&seen.leaves[index as usize]);
        let verified =
            tlog::merkle::inclusion::verify(&leaf, LeafIndex::new(index), TreeSize::new(at), &hashes, &root);
        assert_eq!(verified, Ok(()), "{index} of {at}");
        let (status, proof) = log.json(&format!("/api/v1/proofs/consistency/{at}/{size}"));
        assert_eq!(status, 200, "{proof}");
        let hashes: Vec<_> = proof["hashes"].as_array().expect("hashes").iter().map(hash).collect();
        let new_root = seen.checkpoint.root;
        assert_eq!(
            tlog::merkle::consistency::verify(TreeSize::new(at), size, &hashes, &root, &new_root),
            Ok(())
        );
    }
    for (path, want) in [
        ("/api/v1/proofs/inclusion/5/5".to_owned(), (404, "index-outside")),
        (format!("/api/v1/proofs/inclusion/0/{}", size.get() + 1), (404, "size-outside")),
        ("/api/v1/proofs/inclusion/01/5".into(), (400, "index")),
        ("/api/v1/proofs/inclusion/18446744073709551615/18446744073709551615".into(), (404, "size-outside")),
        ("/api/v1/proofs/inclusion/18446744073709551616/5".into(), (400, "index")),
        ("/api/v1/proofs/consistency/5/3".into(), (400, "sizes")),
        (format!("/api/v1/entries/{size}"), (404, "index-outside")),
        ("/api/v1/entries/-1".into(), (400, "index")),
        ("/api/v1/entries?artifact=sha256:xyz".into(), (400, "artifact")),
        ("/api/v1/entries".into(), (400, "query")),
        ("/api/v1/entries?did=a&artifact=b".into(), (400, "query")),
        ("/api/v1/entries?what=x".into(), (400, "query")),
        ("/api/v1/envelopes/zz".into(), (400, "hash")),
    ] {
        let (status, problem) = log.json(&path);
        assert_eq!((status, rule(&problem)), want, "{path}");
    }
}

/// TILE-1, TILE-4, TILE-5, TILE-8, TILE-9, TILE-10: how tiles are served.
#[test]
fn tiles_are_served_as_the_specification_has_it() {
    let log = Log::start(&[]);
    let signer = Signer::new(1);
    let batch: Vec<Value> =
        (0..300u32).map(|i| signer.sign(ORIGIN, &i.to_be_bytes(), Public, 0).by_hash()).collect();
    assert_eq!(log.submit(&Value::Array(batch)).0, 200);
    let header = |path: &str, name: &str| {
        log.get(path).headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    assert_eq!(header("/checkpoint", "content-type").as_deref(), Some("text/plain; charset=utf-8"));
    assert_eq!(header("/checkpoint", "cache-control").as_deref(), Some("no-store"));
    for path in [
        "/tile/0/000",
        "/tile/0/000.p/7",
        "/tile/0/001.p/44",
        "/tile/1/000.p/1",
        "/tile/entries/000",
        "/tile/entries/001.p/44",
    ] {
        assert_eq!(header(path, "content-type").as_deref(), Some("application/octet-stream"), "{path}");
        assert_eq!(
            header(path, "cache-control").as_deref(),
            Some("public, max-age=604800, immutable"),
            "{path}"
        );
        assert_eq!(header(path, "access-control-allow-origin").as_deref(), Some("*"), "{path}");
        let head = log.http().head(format!("{}{path}", log.url())).send().expect("an answer");
        assert_eq!(head.status().as_u16(), 200, "{path}");
        let post = log.http().post(format!("{}{path}", log.url())).send().expect("an answer");
        assert_eq!(post.status().as_u16(), 405, "{path}");
    }
    for path in [
        "/tile/0/001",
        "/tile/0/001.p/45",
        "/tile/1/000.p/2",
        "/tile/1/000",
        "/tile/2/000.p/1",
        "/tile/entries/001",
        "/tile/0/0",
        "/tile/0/x000",
        "/tile/00/000",
        "/tile/0/000.p/0",
        "/tile/0/000.p/256",
        "/tile/0/000.p/01",
        "/tile/64/000",
        "/tile/0/000/",
        "/tile/0/..%2f000",
        "/tile/0/%30%30%30",
        "/tile/0/000.p",
        "/tile//0/000",
        "/tile/entries/0/000",
        "/tile/0/000%00",
        "/..%2f..%2fetc/passwd",
        "/tile/0/x001/000",
    ] {
        let response = log.get(path);
        assert_eq!(response.status().as_u16(), 404, "{path}");
        assert_eq!(response.headers()["cache-control"], "no-store", "{path}");
        assert!(response.headers().get("content-encoding").is_none(), "{path}");
    }
    // A partial tile is the beginning of the full one.
    let full = log.bytes("/tile/0/000");
    assert_eq!(full.len(), 8_192);
    assert_eq!(log.bytes("/tile/0/000.p/7"), full[..7 * 32]);
    // Compressing costs the log more than it saves: whoever asks for it gets the same bytes.
    for coding in ["gzip", "zstd", "gzip, deflate, br, zstd"] {
        for path in ["/tile/entries/000", "/api/v1/entries/0", "/openapi.json"] {
            let request = log.http().get(format!("{}{path}", log.url())).header("accept-encoding", coding);
            let response = request.send().expect("an answer");
            assert_eq!(response.headers().get("content-encoding"), None, "{path}");
            assert_eq!(response.bytes().expect("a body"), log.bytes(path), "{path}");
        }
    }
}

#[test]
fn an_erased_envelope_is_gone_and_nothing_else_is() {
    let mut log = Log::start(&[]);
    let signer = Signer::new(1);
    let signed: Vec<Signed> = (0..5u32).map(|i| signer.sign(ORIGIN, &i.to_be_bytes(), Public, 3)).collect();
    let answers: Vec<Value> = signed.iter().map(|signed| log.submit(&signed.published()).1).collect();
    let by_hash = signer.sign(ORIGIN, b"by hash", Public, 0);
    log.submit(&by_hash.by_hash());
    let receipt = log.bytes("/api/v1/entries/3/receipt");
    let receipt = attestation::receipt::Receipt::parse(&receipt).expect("a receipt");
    assert_eq!(receipt.envelope(), &signed[3].envelope);
    let (status, problem) = log.json("/api/v1/entries/5/receipt");
    assert_eq!((status, rule(&problem)), (404, "by-hash"));
    assert!(problem["hint"].as_str().is_some_and(|hint| hint.contains("/api/v1/entries/5/proof")));
    // A resubmission never adds an envelope.
    log.submit(&by_hash.published());
    assert_eq!(log.json("/api/v1/entries/5/receipt").0, 404);
    let erase = |log: &Log, hash: &str| {
        let program = testkit::program("log-server");
        let args = ["erase", hash, "--reason", "it named a person", "--dir"];
        std::process::Command::new(program).args(args).arg(log.dir()).output().expect("log-server runs")
    };
    let hash = signed[3].envelope.hash().to_string();
    assert_eq!(erase(&log, &hash).status.code(), Some(2), "not while the log runs");
    // A clean stop leaves compressed files only, in which nobody finds a text; a kill leaves the write-ahead log.
    log.kill();
    // The artifact's digest inside the payload: hex in base64, which no compression takes apart.
    let payload = signed[3].envelope.unverified_payload();
    let digest = signed[3].artifact.to_string();
    let at = payload.windows(64).position(|window| window == digest.as_bytes()).expect("the digest");
    let needle = &tlog::encoding::base64(payload)[at.div_ceil(3) * 4..][..40];
    let on_disk = |log: &Log| {
        let grep = std::process::Command::new("grep").args(["-raqF", needle]).arg(log.dir()).status();
        grep.expect("grep runs").code() == Some(0)
    };
    assert!(on_disk(&log), "the check itself works");
    for signed in &signed {
        let output = erase(&log, &signed.envelope.hash().to_string());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(erase(&log, &hash).status.code(), Some(2), "once");
    // The bytes are on no file of the log any more.
    assert!(!on_disk(&log), "the envelope is still on the disk");
    let fsck = log.fsck();
    assert_eq!(fsck.status.code(), Some(0), "{}", String::from_utf8_lossy(&fsck.stderr));
    log.serve(&[]);
    let (status, problem) = log.json("/api/v1/entries/3/receipt");
    assert_eq!((status, rule(&problem)), (410, "envelope-erased"));
    assert_eq!(problem["detail"], "it named a person");
    assert_eq!(log.json(&format!("/api/v1/envelopes/{hash}")).0, 410);
    for (signed, answer) in signed.iter().zip(&answers) {
        assert_verifies(&log, &signer, signed, answer);
        // Sent again it is the same entry, and the envelope stays erased.
        assert_eq!(log.submit(&signed.published()).1["index"], answer["index"]);
    }
    assert_eq!(log.json(&format!("/api/v1/envelopes/{hash}")).0, 410);
    check_log(&log);
}

#[test]
fn a_restored_older_directory_is_refused_with_the_way_out() {
    let mut log = Log::start(&[]);
    let signer = Signer::new(1);
    log.submit(&signer.sign(ORIGIN, b"one", Public, 0).by_hash());
    log.stop();
    let backup = log.folder().join("backup");
    copy_folder(&log.dir(), &backup);
    log.serve(&[]);
    log.submit(&signer.sign(ORIGIN, b"two", Public, 0).by_hash());
    log.stop();
    std::fs::remove_dir_all(log.dir()).expect("removed");
    copy_folder(&backup, &log.dir());
    let refused = log.serve_refused(&[]);
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2));
    for needed in ["holds 1 entries", "signed a checkpoint of 2", "older copy", "hint:", "successor"] {
        assert!(words.contains(needed), "`{needed}` in {words}");
    }
    // Without the record nobody knows what was signed.
    std::fs::rename(log.folder().join("log.signed"), log.folder().join("elsewhere")).expect("moved");
    let words = String::from_utf8_lossy(&log.serve_refused(&[]).stderr).into_owned();
    assert!(words.contains("cannot be used") && words.contains("hint:"), "{words}");
}

#[test]
fn one_process_uses_a_directory_and_init_is_done_once() {
    let log = Log::start(&[]);
    let words = String::from_utf8_lossy(&log.serve_refused(&[]).stderr).into_owned();
    assert!(words.contains("another process uses the directory"), "{words}");
    assert_eq!(log.fsck().status.code(), Some(2));
    let init = std::process::Command::new(testkit::program("log-server"))
        .args(["init", "--origin", ORIGIN, "--dir"])
        .arg(log.dir())
        .output()
        .expect("log-server runs");
    assert_eq!(init.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&init.stderr).contains("has signed before"));
}

#[test]
fn sigterm_answers_who_waits_and_closes_clean() {
    let mut log = Log::start(&["--round-interval", "500ms"]);
    let signer = Signer::new(1);
    log.submit(&signer.sign(ORIGIN, b"first", Public, 0).by_hash());
    let waiting: Vec<_> = (0..20u32)
        .map(|i| {
            let body = signer.sign(ORIGIN, &i.to_be_bytes(), Public, 0).by_hash();
            let request = log.http().post(format!("{}/api/v1/entries", log.url())).json(&body);
            std::thread::spawn(move || request.send().expect("an answer").status().as_u16())
        })
        .collect();
    // The pool is what SIGTERM must not lose: wait until all are in it.
    let pending = |log: &Log| {
        String::from_utf8_lossy(&log.bytes("/metrics"))
            .lines()
            .find_map(|line| line.strip_prefix("log_entries_admitted_total ")?.parse::<u64>().ok())
    };
    while pending(&log).is_none_or(|admitted| admitted < 21) {
        std::thread::yield_now();
    }
    assert_eq!(log.stop(), Some(0));
    let answers: Vec<u16> = waiting.into_iter().map(|thread| thread.join().expect("no panic")).collect();
    assert_eq!(answers, [200; 20]);
    assert_eq!(String::from_utf8_lossy(&log.fsck().stdout), "ok: 21 entries\n");
}

#[test]
fn tokens_lists_and_budgets_decide_who_submits_how_much() {
    let mut log = Log::init();
    let (one, two) = (Signer::new(1), Signer::new(2));
    let tokens = log.folder().join("tokens");
    std::fs::write(&tokens, format!("# CI\n{}\n", tlog::Hash::of(b"secret-token"))).expect("written");
    log.serve(&["--admission", "token", "--token-file", tokens.to_str().expect("a path")]);
    let entry = one.sign(ORIGIN, b"x", Public, 0).by_hash();
    assert_eq!(log.submit(&entry).0, 401);
    assert_eq!(log.submit_with(&entry, &[("authorization", "Bearer wrong")]).0, 401);
    assert_eq!(log.submit_with(&entry, &[("authorization", "Bearer secret-token")]).0, 200);
    log.stop();
    let allowed = log.folder().join("allowed");
    std::fs::write(&allowed, format!("{}\n", two.did())).expect("written");
    log.serve(&["--admission", "allow-list", "--allow-file", allowed.to_str().expect("a path")]);
    let (status, problem) = log.submit(&one.sign(ORIGIN, b"y", Public, 0).by_hash());
    assert_eq!((status, rule(&problem)), (403, "did-not-allowed"));
    assert_eq!(log.submit(&two.sign(ORIGIN, b"y", Public, 0).by_hash()).0, 200);
    log.stop();
    log.serve(&[
        "--did-entries-per-minute",
        "2",
        "--address-entries-per-minute",
        "8",
        "--trusted-proxy",
        "127.0.0.0/8",
    ]);
    let send = |signer: &Signer, content: &[u8], address: &str| {
        let entry = signer.sign(ORIGIN, content, Public, 0).by_hash();
        let (status, answer) = log.submit_with(&entry, &[("x-forwarded-for", address)]);
        (status, rule(&answer).to_owned())
    };
    let logged = || (200, "no rule".to_owned());
    assert_eq!(send(&one, b"1", "192.0.2.1"), logged());
    assert_eq!(send(&one, b"2", "192.0.2.1"), logged());
    assert_eq!(send(&one, b"3", "192.0.2.1"), (429, "did-budget".into()));
    for content in 4..9u8 {
        assert_eq!(send(&Signer::new(u64::from(content)), &[content], "192.0.2.1"), logged());
    }
    assert_eq!(send(&two, b"9", "192.0.2.1"), (429, "address-budget".into()));
    // The last hop that is no trusted proxy counts; what a client writes before it does not.
    assert_eq!(send(&two, b"9", "192.0.2.9, 192.0.2.1"), (429, "address-budget".into()));
    assert_eq!(send(&two, b"9", "192.0.2.1, 192.0.2.2"), logged());
    log.stop();
    log.serve(&["--bytes-per-day", "1"]);
    let (status, problem) = log.submit(&two.sign(ORIGIN, b"z", Public, 0).by_hash());
    assert_eq!((status, rule(&problem)), (429, "day-budget"));
    log.stop();
    // Below the floor of free disk space nothing is taken, and everything is read.
    log.serve(&["--disk-floor-bytes", "18446744073709551615"]);
    while log.get("/readyz").status().as_u16() == 200 {
        std::thread::yield_now();
    }
    let (status, problem) = log.submit(&two.sign(ORIGIN, b"z", Public, 0).by_hash());
    assert_eq!((status, rule(&problem)), (503, "disk-floor"));
    assert_eq!(log.json("/readyz").0, 503);
    assert_eq!(log.get("/healthz").status().as_u16(), 200);
    check_log(&log);
}

/// What a DID has published is public: whoever sends it again gets the first answer, and takes no more than half of what is
/// the DID's to log.
#[test]
fn sending_what_another_has_published_leaves_him_room_to_log() {
    let log = Log::start(&["--did-entries-per-minute", "20"]);
    let signer = Signer::new(1);
    let known = signer.sign(ORIGIN, b"known", Public, 0).published();
    let (status, first) = log.submit(&known);
    assert_eq!(status, 200, "{first}");
    for _ in 0..100 {
        let (status, again) = log.submit(&known);
        assert_eq!((status, &again["index"], &again["leaf"]), (200, &first["index"], &first["leaf"]));
    }
    let batch = serde_json::Value::Array(vec![known; 100]);
    assert_eq!(log.submit(&batch).0, 200);
    for content in 0..8u8 {
        let (status, answer) = log.submit(&signer.sign(ORIGIN, &[content], Public, 0).by_hash());
        assert_eq!(status, 200, "entry {content}: {answer}");
    }
    let refused = (0..100u8).find_map(|content| {
        let (status, answer) = log.submit(&signer.sign(ORIGIN, &[content, 1], Public, 0).by_hash());
        (status != 200).then(|| rule(&answer).to_owned())
    });
    assert_eq!(refused.as_deref(), Some("did-budget"), "the whole budget holds as before");
}
