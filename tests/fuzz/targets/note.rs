#![no_main]
//! What is a note prints as it was read.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(note) = tlog::note::Note::parse(bytes) {
        assert_eq!(note.to_string().as_bytes(), bytes);
        if let Ok(checkpoint) = tlog::checkpoint::Checkpoint::parse(note.text()) {
            assert_eq!(checkpoint.to_string(), note.text());
        }
    }
});
