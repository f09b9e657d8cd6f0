//! The bytes on the wire, as they have been since the first version of the interface.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tlog::Hash;

use super::*;
use crate::did::Did;
use crate::entry::{ClaimHash, LogTime};

/// What one side writes is these bytes, and the other reads it as the same.
fn same<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T, golden: &str) {
    written(value, golden);
    assert_eq!(&serde_json::from_str::<T>(golden).expect("what was written is read"), value);
}

fn written(value: &impl Serialize, golden: &str) {
    assert_eq!(serde_json::to_string(value).expect("JSON"), golden);
}

fn problem() -> Problem {
    Problem::new(422, "claim-signature", "the claim \"signature\"")
}

#[test]
fn problems() {
    same(
        &problem(),
        r#"{"type":"urn:aip:problem:claim-signature","title":"the claim \"signature\"","status":422}"#,
    );
    let full = Problem {
        detail: Some("d".to_owned()),
        hint: Some("h".to_owned()),
        now: LogTime::from_millis(1_790_000_000_000),
        ..problem()
    };
    same(
        &full,
        r#"{"type":"urn:aip:problem:claim-signature","title":"the claim \"signature\"","status":422,"detail":"d","hint":"h","now":1790000000000}"#,
    );
    assert_eq!(full.rule(), "claim-signature");
}

/// Proxies answer, too, and a newer log has more to say.
#[test]
fn of_a_problem_is_read_what_has_its_form() {
    let read = |text: &str| serde_json::from_str::<Problem>(text);
    assert_eq!(read("{}").expect("nothing"), Problem::default());
    let odd = r#"{"type":5,"title":null,"status":"422","detail":["d"],"hint":{},"now":-1,"instance":"/x"}"#;
    assert_eq!(read(odd).expect("nothing of its form"), Problem::default());
    for status in ["65536", "-1", "422.0", "1e400"] {
        let text = format!(r#"{{"title":"t","status":{status}}}"#);
        assert!(read(&text).map_or(true, |problem| problem.status.is_none()), "{status}");
    }
    let late = format!(r#"{{"now":{}}}"#, LogTime::MAX.as_millis() + 1);
    assert_eq!(read(&late).expect("no time"), Problem::default());
    let foreign = read(r#"{"type":"about:blank","title":"t"}"#).expect("a problem");
    assert_eq!((foreign.rule(), &*foreign.title), ("", "t"));
    for bad in ["\"x\"", "<html>", r#"{"title":"a","title":"b"}"#] {
        assert!(read(bad).is_err(), "{bad}");
    }
}

#[test]
fn submissions() {
    let golden = r#"{"leaf":"e30="}"#;
    let submission: Submission<'_> = serde_json::from_str(golden).expect("by hash");
    assert_eq!((&*submission.leaf, submission.envelope.is_none()), ("e30=", true));
    written(&submission, golden);
    // What signers signed goes through as it is.
    let golden = r#"{"leaf":"e30=","envelope":{"payload":"", "signatures":[]}}"#;
    let submission: Submission<'_> = serde_json::from_str(golden).expect("published");
    assert_eq!(submission.envelope.map(|json| json.get()), Some(r#"{"payload":"", "signatures":[]}"#));
    written(&submission, golden);
    // Read as "no envelope", `null` would log the entry by hash.
    let null: Submission<'_> = serde_json::from_str(r#"{"leaf":"","envelope":null}"#).expect("a null");
    assert_eq!(null.envelope.map(|json| json.get()), Some("null"));
    for bad in [r#"{"leaf":"","more":1}"#, r#"{"envelope":{}}"#, r#"{"leaf":1}"#, "{}", "[]"] {
        assert!(serde_json::from_str::<Submission<'_>>(bad).is_err(), "{bad}");
    }
}

#[test]
fn answers() {
    let event = || ProvedLeaf { leaf: "e30=".to_owned(), proof: "c2sp\nproof\n".to_owned() };
    let logged = |identity| Answer::Logged {
        index: 7,
        leaf: "e30=".to_owned(),
        proof: "c2sp\n".to_owned(),
        sigstore_note: Some("note\n".to_owned()),
        identity,
    };
    same(
        &logged(Vec::new()),
        r#"{"status":"logged","index":7,"leaf":"e30=","proof":"c2sp\n","sigstoreNote":"note\n"}"#,
    );
    same(
        &logged(vec![event(), event()]),
        r#"{"status":"logged","index":7,"leaf":"e30=","proof":"c2sp\n","sigstoreNote":"note\n","identity":[{"leaf":"e30=","proof":"c2sp\nproof\n"},{"leaf":"e30=","proof":"c2sp\nproof\n"}]}"#,
    );
    let claim = ClaimHash::new(Hash::of(b"c"));
    same(
        &Answer::committed(claim, None),
        r#"{"status":"committed","claim":"2e7d2c03a9507ae265ecf5b5356885a53393a2029d241394997265a1a25aefc6","url":"/api/v1/claims/2e7d2c03a9507ae265ecf5b5356885a53393a2029d241394997265a1a25aefc6"}"#,
    );
    let below = Problem { detail: Some("1 of 2".to_owned()), ..Problem::new(503, "below-quorum", "t") };
    same(
        &Answer::committed(claim, Some(below)),
        r#"{"status":"committed","claim":"2e7d2c03a9507ae265ecf5b5356885a53393a2029d241394997265a1a25aefc6","url":"/api/v1/claims/2e7d2c03a9507ae265ecf5b5356885a53393a2029d241394997265a1a25aefc6","reason":{"type":"urn:aip:problem:below-quorum","title":"t","status":503,"detail":"1 of 2"}}"#,
    );
    same(
        &Answer::Refused { error: problem() },
        r#"{"status":"refused","error":{"type":"urn:aip:problem:claim-signature","title":"the claim \"signature\"","status":422}}"#,
    );
    same(
        &Answer::Unavailable { error: Problem::new(503, "pool-full", "full") },
        r#"{"status":"unavailable","error":{"type":"urn:aip:problem:pool-full","title":"full","status":503}}"#,
    );
}

/// A client asks for no more than it uses, so that another log, or a newer one, may answer it.
#[test]
fn of_an_answer_is_read_what_a_client_needs() {
    let read = |text: &str| serde_json::from_str::<Answer>(text);
    assert!(read(r#"{"status":"logged","leaf":"","proof":"","later":1}"#).is_ok());
    assert!(read(r#"{"status":"committed"}"#).is_ok());
    for bad in [
        "{}",
        r#"{"status":"else"}"#,
        r#"{"status":"refused"}"#,
        r#"{"status":"logged","proof":""}"#,
        r#"{"status":"logged","leaf":""}"#,
        r#"{"status":"logged","leaf":"","proof":"","identity":[{"leaf":""}]}"#,
    ] {
        assert!(read(bad).is_err(), "{bad}");
    }
    let page: EntryPage =
        serde_json::from_str(r#"{"entries":[{"index":1,"leaf":"","later":1}]}"#).expect("a page");
    assert_eq!((page.entries.len(), page.next), (1, None));
    let lists: Lists = serde_json::from_str(r#"{"lists":{},"later":1}"#).expect("lists");
    assert!(lists.lists.is_empty());
    let foreign =
        r#"{"alsoKnownAs":["did:key:z"],"service":[{"serviceEndpoint":{}}],"authentication":[{}],"id":1}"#;
    let document: DidDocument = serde_json::from_str(foreign).expect("a document");
    assert_eq!((&*document.also_known_as, document.service.len()), (&["did:key:z".to_owned()][..], 0));
    assert!(serde_json::from_str::<DidDocument>(r#"{"alsoKnownAs":[1]}"#).is_err());
}

#[test]
fn lookups() {
    let entry = |index| IndexedLeaf { index, leaf: "e30=".to_owned() };
    same(&entry(3), r#"{"index":3,"leaf":"e30="}"#);
    let page = EntryPage { tree_size: 9, entries: vec![entry(1), entry(2)], next: None };
    same(
        &page,
        r#"{"treeSize":9,"entries":[{"index":1,"leaf":"e30="},{"index":2,"leaf":"e30="}],"next":null}"#,
    );
    let next = Some("/api/v1/entries?did=x&from=3".to_owned());
    same(
        &EntryPage { tree_size: 9, entries: Vec::new(), next },
        r#"{"treeSize":9,"entries":[],"next":"/api/v1/entries?did=x&from=3"}"#,
    );
    let lists = [("id:did:aip:x".to_owned(), vec!["AA==".to_owned()]), ("a".to_owned(), Vec::new())];
    same(
        &Lists { tree_size: 3, lists: lists.into() },
        r#"{"treeSize":3,"lists":{"a":[],"id:did:aip:x":["AA=="]}}"#,
    );
    let text = str::to_owned;
    let hashes = || vec![text("h")];
    let inclusion =
        InclusionProof { index: 1, tree_size: 2, leaf_hash: text("l"), root: text("r"), hashes: hashes() };
    written(&inclusion, r#"{"index":1,"treeSize":2,"leafHash":"l","root":"r","hashes":["h"]}"#);
    let consistency =
        ConsistencyProof { old: 1, new: 2, old_root: text("o"), new_root: text("n"), hashes: hashes() };
    written(&consistency, r#"{"old":1,"new":2,"oldRoot":"o","newRoot":"n","hashes":["h"]}"#);
}

#[test]
fn dids() {
    let did: Did = DID.parse().expect("a DID");
    let text = str::to_owned;
    let key = VerificationMethod::multikey(did, text("zK"));
    let document = DidDocument {
        context: vec![text("https://www.w3.org/ns/did/v1")],
        also_known_as: vec![text("did:key:zK")],
        assertion_method: vec![key.id.clone()],
        authentication: Vec::new(),
        id: did.to_string(),
        key_agreement: vec![VerificationMethod::multikey(did, text("zM"))],
        service: Vec::new(),
        verification_method: vec![key],
    };
    let golden = r##"{"@context":["https://www.w3.org/ns/did/v1"],"alsoKnownAs":["did:key:zK"],"assertionMethod":["DID#zK"],"authentication":[],"id":"DID","keyAgreement":[{"controller":"DID","id":"DID#zM","publicKeyMultibase":"zM","type":"Multikey"}],"verificationMethod":[{"controller":"DID","id":"DID#zK","publicKeyMultibase":"zK","type":"Multikey"}]}"##
        .replace("DID", DID);
    same(&document, &golden);
    let history = Service { id: text("i"), service_endpoint: text("https://e"), kind: text("k") };
    let golden = golden.replace(
        r#""verificationMethod""#,
        r#""service":[{"id":"i","serviceEndpoint":"https://e","type":"k"}],"verificationMethod""#,
    );
    same(&DidDocument { service: vec![history], ..document }, &golden);
    let unknown = Resolution {
        did_document: None,
        did_document_metadata: DidMetadata::bare(5),
        checkpoint: text("c\n"),
        identity: vec![ProvedLeaf { leaf: text("l"), proof: text("p") }],
    };
    written(
        &unknown,
        r#"{"didDocument":null,"didDocumentMetadata":{"registered":false,"treeSize":5},"checkpoint":"c\n","identity":[{"leaf":"l","proof":"p"}]}"#,
    );
    let registered = Registered {
        capabilities: vec!["receipts"],
        created: text("c"),
        deactivated: false,
        keys: vec![KeyPeriod { from: 0, public_key_multibase: Some(text("zK")), until: None }],
        next_key: text("n"),
        previous: text("p"),
        public_name: None,
        recovered: None,
        recovery_key: text("r"),
        registered: true,
        sequence: 1,
        status: "active",
        tree_size: 5,
        updated: text("u"),
        version_id: text("0"),
        windows: vec![Window { since: 1, until: None }],
    };
    written(
        &DidMetadata::Registered(Box::new(registered)),
        r#"{"capabilities":["receipts"],"created":"c","deactivated":false,"keys":[{"from":0,"publicKeyMultibase":"zK","until":null}],"nextKey":"n","previous":"p","publicName":null,"recovered":null,"recoveryKey":"r","registered":true,"sequence":1,"status":"active","treeSize":5,"updated":"u","versionId":"0","windows":[{"since":1,"until":null}]}"#,
    );
}

#[test]
fn questions_for_evidence() {
    let did: Did = DID.parse().expect("a DID");
    same(&EvidenceQuery::state(did), &format!(r#"{{"did":"{DID}"}}"#));
    same(&EvidenceQuery::messages(did), &format!(r#"{{"did":"{DID}","messages":true}}"#));
    let trust = TrustQuery {
        decay: 800,
        floor: 1_000_000,
        max_hops: 5,
        min_paths: 1,
        roots: [(did, 1000)].into(),
        scope: "CODE_SIGNING".to_owned(),
        threshold: 500_000,
    };
    let golden = format!(
        r#"{{"did":"{DID}","trust":{{"decay":800,"floor":1000000,"maxHops":5,"minPaths":1,"roots":{{"{DID}":1000}},"scope":"CODE_SIGNING","threshold":500000}}}}"#
    );
    same(&EvidenceQuery::trust(did, trust), &golden);
    let read = |value: Value| serde_json::from_value::<EvidenceQuery>(value);
    assert!(read(json!({"did": DID, "messages": false, "trust": null})).is_ok());
    for bad in
        [json!({"did": DID, "more": 1}), json!({"did": "x"}), json!({"did": DID, "trust": {}}), json!({})]
    {
        assert!(read(bad.clone()).is_err(), "{bad}");
    }
}

#[test]
fn what_clients_of_python_read_and_write() {
    let text = str::to_owned;
    let known = python::Lookup { did: text("d"), public_key: text("k"), registered_at: None };
    same(&known, r#"{"did":"d","public_key":"k","registered_at":null}"#);
    let least: python::Lookup = serde_json::from_str(r#"{"public_key":"k","later":1}"#).expect("a key");
    assert_eq!(least.public_key, "k");
    let message = python::Message {
        encrypted_content: text("b"),
        recipient_did: text("r"),
        sender_did: text("s"),
        signature: text("g"),
        timestamp: Some(text("t")),
    };
    same(
        &message,
        r#"{"encrypted_content":"b","recipient_did":"r","sender_did":"s","signature":"g","timestamp":"t"}"#,
    );
    let least =
        r#"{"sender_did":"s","recipient_did":"r","encrypted_content":"b","signature":"g","nonce":""}"#;
    let least: python::Message = serde_json::from_str(least).expect("a message");
    assert_eq!(least, python::Message { timestamp: None, ..message });
}

const DID: &str = "did:aip:fe812c12f3ab4ce6ac5db69ac352f906";
