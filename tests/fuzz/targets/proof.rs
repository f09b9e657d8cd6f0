#![no_main]
//! What is a tlog-proof prints as it was read.
libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(proof) = tlog::proof::TlogProof::parse(text) {
        assert_eq!(proof.to_string(), text);
    }
});
