#![no_main]
//! A request to a relay has one spelling: whatever is written into a good one, it is refused, or it signs to the same bytes. And no body
//! panics.
use attestation::message::{Action, REQUEST_TYPE, RequestError, Route, SignedRequest};
use tlog::encoding::base64;
use tlog::key::{Ed25519PrivateKey, Ed25519PublicKey};

const DID: &str = "did:aip:fd2d062fd8fef87f630e906931d4cddb";

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for route in [Route::Mailbox, Route::Messages] {
        let _ = SignedRequest::parse(bytes, route, Ed25519PublicKey::from_bytes);
    }
    let key = Ed25519PrivateKey::from_seed(&[3; 32]);
    for good in [
        format!(r#"{{"action":"acknowledge","did":"{DID}","ids":["{}"],"issuedAt":1,"origin":"o"}}"#, "00".repeat(32)),
        format!(r#"{{"action":"list","after":0,"did":"{DID}","issuedAt":1,"keys":["{}"],"limit":1,"origin":"o","wait":0}}"#, "00".repeat(16)),
        format!(r#"{{"accept":"listed","action":"settings","blocked":["{DID}"],"did":"{DID}","issuedAt":1,"listed":["{DID}"],"origin":"o"}}"#),
        format!(r#"{{"action":"send","did":"{DID}","expires":2,"issuedAt":1,"origin":"o","sealed":"{}"}}"#, "00".repeat(32)),
    ] {
        let Some(payload) = fuzz::splice(good.as_bytes(), bytes) else { continue };
        let signature = key.sign(&attestation::dsse::pae(REQUEST_TYPE, &payload));
        let is_send = good.contains("send");
        let sealed = if is_send { r#","sealed":"""# } else { "" };
        let body = format!(
            r#"{{"key":"{}","request":"{}","signature":"{}"{sealed}}}"#,
            base64(key.public_key().as_bytes()),
            base64(&payload),
            base64(&signature)
        );
        let route = if is_send { Route::Messages } else { Route::Mailbox };
        let Ok(request) = SignedRequest::parse(body.as_bytes(), route, Ed25519PublicKey::from_bytes) else { continue };
        let said = request.request();
        assert!(request.check(&said.origin, said.issued_at).is_ok());
        match said.action {
            Action::Send { .. } => {
                assert!(matches!(request.check_sealed(said.issued_at), Err(RequestError::Sealed(_))));
            }
            _ => assert_eq!(SignedRequest::sign(said.clone(), &key).as_ref(), Ok(&request)),
        }
    }
});
