#![no_main]
//! Bundles, trusted roots and keys of others never make a panic; a key is written as it is read.
use attestation::sigstore::{Bundle, SpkiKey, TrustedRoot};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = Bundle::parse(bytes);
    let _ = TrustedRoot::parse(bytes);
    if let Ok(key) = SpkiKey::parse(bytes) {
        assert_eq!(SpkiKey::from_der(&key.to_der()).as_ref(), Ok(&key));
        assert_eq!(SpkiKey::parse(key.to_pem().as_bytes()).as_ref(), Ok(&key));
    }
});
