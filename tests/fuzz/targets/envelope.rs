#![no_main]
//! An envelope's canonical form reads as the envelope; a statement never panics.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(envelope) = attestation::dsse::Envelope::parse(bytes) {
        let again = attestation::dsse::Envelope::parse(envelope.to_json().as_bytes());
        assert_eq!(again.as_ref(), Ok(&envelope));
    }
    let _ = attestation::statement::Statement::parse(bytes);
});
