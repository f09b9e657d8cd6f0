#![no_main]
//! An entry has one spelling.
use attestation::entry::{DsseEntry, Entry, PendingEntry};
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = Entry::parse(bytes);
    if let Ok(entry) = PendingEntry::parse(bytes) {
        assert_eq!(entry.to_bytes(), bytes);
    }
    if let Ok(entry) = DsseEntry::parse(bytes) {
        assert_eq!(entry.to_bytes(), bytes);
    }
});
