#![no_main]
//! A receipt prints as a receipt that reads the same.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(receipt) = attestation::receipt::Receipt::parse(bytes) {
        let again = attestation::receipt::Receipt::parse(receipt.to_json().as_bytes());
        assert_eq!(again.as_ref(), Ok(&receipt));
    }
});
