#![no_main]
//! A tile has one path.
libfuzzer_sys::fuzz_target!(|path: &str| {
    if let Some((tile, resource)) = tlog::tile::Tile::parse(path) {
        let printed = match resource {
            tlog::tile::Resource::Hashes => tile.path(),
            tlog::tile::Resource::Entries => tile.entries_path(),
        };
        assert_eq!(printed, path);
    }
});
