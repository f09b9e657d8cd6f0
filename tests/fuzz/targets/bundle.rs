#![no_main]
//! A bundle is its entries and nothing else.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(entries) = tlog::bundle::parse(bytes) {
        let mut again = Vec::new();
        entries.iter().for_each(|entry| tlog::bundle::push(&mut again, entry));
        assert_eq!(again, bytes);
    }
});
