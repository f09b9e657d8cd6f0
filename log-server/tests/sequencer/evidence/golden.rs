//! One fixed log, with the digest of all that it shows. A change of how the log stores, orders or publishes leaves every byte
//! of it as it was; a change of a format comes with a decision, and with a new digest.

use tlog::tile::{TILE_WIDTH, Tile};

use super::*;

/// Of what the log shows since release 0.1.0.
const DIGEST: &str = "7270915f37af46cfe7bc4716cff9f738caf6d469e34ead183d53202e6fe6c59c";

#[test]
fn a_fixed_log_shows_the_same_bytes_in_every_release() {
    let mut world = World::new(6);
    for round in 0..12u64 {
        world.pass(3 * DAY + round);
        let mut entries: Vec<Admitted> =
            (0..40 + round).map(|n| super::super::entry(round * 100 + n)).collect();
        let who = (round % 5) as usize;
        entries.push(world.vouch(
            who,
            world.owners[who + 1].did,
            Scope::CodeSigning,
            Level::Strong,
            200 * DAY,
        ));
        entries.extend((0..6).map(|n| world.owners[n].builds(round)));
        if round % 4 == 3 {
            entries.push(world.failure(who, world.owners[(who + 2) % 6].did));
            entries.push(admitted(world.owners[5].rotation()));
        }
        assert!(world.log(entries).iter().all(Result::is_ok), "round {round}");
    }
    let view = {
        let published = world.sequencer.published().borrow().clone();
        View::new(world.bench.engine(), world.sequencer.tiles(), published)
    };
    let size = view.published().size();
    let mut shown = format!("{}{}", view.published().note, view.published().sigstore_note).into_bytes();
    for (level, hashes) in [(0, size.get()), (1, size.get() / TILE_WIDTH)] {
        for index in 0..=hashes / TILE_WIDTH {
            let width = (hashes - index * TILE_WIDTH).min(TILE_WIDTH) as u16;
            let Some(tile) = Tile::new(level, index, width) else { continue };
            let hashes = view.tile(tile).expect("a read").expect("a tile of the tree");
            shown.extend(hashes.iter().flat_map(|hash| *hash.as_bytes()));
            if level == 0 {
                shown.extend(view.bundle(tile).expect("a read").expect("a bundle of the tree"));
            }
        }
    }
    for index in (0..size.get()).map(LeafIndex::new) {
        shown.extend(view.tlog_proof(index).expect("a proof").to_string().into_bytes());
    }
    for from in [1, 7, 256, size.get() - 1].map(tlog::TreeSize::new) {
        let hashes = view.consistency(from, size).expect("a proof");
        shown.extend(hashes.iter().flat_map(|hash| *hash.as_bytes()));
    }
    let roots = [world.owners[0].did, world.owners[1].did];
    for owner in &world.owners {
        shown.extend(world.evidence(&params(&roots), owner.did).expect("evidence").to_json().into_bytes());
    }
    assert!(size.get() > 2 * TILE_WIDTH, "more than one full tile");
    assert_eq!(Hash::of(&shown).to_string(), DIGEST, "of {} bytes about {size} entries", shown.len());
}
