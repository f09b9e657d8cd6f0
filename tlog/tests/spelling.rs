//! One spelling: what is printed is read as it was, what is accepted prints as it was read, and no
//! bytes whatever make a parser panic.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use testkit::keys::signer;
use tlog::checkpoint::{Checkpoint, MAX_TREE_SIZE};
use tlog::key::{Ed25519PublicKey, KeyId, KeyName, KeyType, MlDsa44PublicKey, SignerKey, VerifierKey};
use tlog::merkle::empty_root;
use tlog::note::{Note, NoteSignature};
use tlog::policy::Policy;
use tlog::proof::TlogProof;
use tlog::tile::{Resource, Tile, parse_hashes};
use tlog::{Hash, LeafIndex, TreeSize, bundle, encoding};

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn line() -> impl Strategy<Value = String> {
    "[ -~—é\u{a0}\u{2028}\u{7f}🔑]{0,30}"
}

fn name() -> impl Strategy<Value = KeyName> {
    "[!-*,-~—é🔑]{1,20}".prop_map(|name| KeyName::new(&name).expect("a key name"))
}

fn kind() -> impl Strategy<Value = KeyType> {
    select(vec![KeyType::Ed25519, KeyType::Ed25519Cosignature, KeyType::MlDsa44Cosignature])
}

fn hash() -> impl Strategy<Value = Hash> {
    any::<[u8; 32]>().prop_map(Hash::new)
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), 0..1_000_u64, Just(u64::MAX), Just(MAX_TREE_SIZE)]
}

fn signer_key() -> impl Strategy<Value = SignerKey> {
    (name(), kind(), any::<[u8; 32]>()).prop_map(|(name, kind, seed)| SignerKey::from_seed(name, kind, &seed))
}

fn note() -> impl Strategy<Value = Note> {
    let line_of = (name(), any::<[u8; 4]>(), vec(any::<u8>(), 1..100))
        .prop_map(|(name, id, signature)| NoteSignature::new(name, KeyId::new(id), signature));
    (vec(line(), 1..6), vec(line_of, 1..5)).prop_map(|(lines, signatures)| {
        let mut note = Note::unsigned(lines.join("\n") + "\n");
        signatures.into_iter().for_each(|line| note.add(line));
        note
    })
}

fn checkpoint() -> impl Strategy<Value = Checkpoint> {
    let not_empty = || line().prop_map(|line| format!("x{line}"));
    (not_empty(), number(), hash(), vec(not_empty(), 0..3)).prop_map(|(origin, size, root, extensions)| {
        let size = size.min(MAX_TREE_SIZE);
        let root = if size == 0 { empty_root() } else { root };
        Checkpoint { origin, size: TreeSize::new(size), root, extensions }
    })
}

fn proof() -> impl Strategy<Value = TlogProof> {
    let extra = proptest::option::of(vec(any::<u8>(), 0..50));
    (extra, number(), vec(hash(), 0..=63), checkpoint(), note()).prop_map(
        |(extra, index, hashes, text, lines)| {
            let mut checkpoint = Note::unsigned(text.to_string());
            lines.signatures().iter().for_each(|line| checkpoint.add(line.clone()));
            TlogProof { extra, index: LeafIndex::new(index), hashes, checkpoint }
        },
    )
}

fn tile() -> impl Strategy<Value = Tile> {
    (0..=63_u8, number(), 1..=256_u16)
        .prop_map(|(level, index, width)| Tile::new(level, index, width).expect("in range"))
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn a_note_is_read_as_it_was_printed(note in note()) {
        prop_assert_eq!(Note::parse(note.to_string().as_bytes()), Ok(note));
    }

    #[test]
    fn a_checkpoint_is_read_as_it_was_printed(checkpoint in checkpoint()) {
        prop_assert_eq!(Checkpoint::parse(&checkpoint.to_string()), Ok(checkpoint));
    }

    #[test]
    fn a_proof_is_read_as_it_was_printed(proof in proof()) {
        prop_assert_eq!(TlogProof::parse(&proof.to_string()), Ok(proof));
    }

    #[test]
    fn keys_are_read_as_they_were_printed(key in signer_key()) {
        let verifier = key.verifier();
        prop_assert_eq!(verifier.to_string().parse::<VerifierKey>(), Ok(verifier.clone()));
        let again: SignerKey = key.to_skey().parse().expect("it was just printed");
        prop_assert_eq!((again.verifier(), again.to_skey()), (verifier, key.to_skey()));
    }

    #[test]
    fn a_tile_is_read_as_it_was_printed(tile in tile()) {
        prop_assert_eq!(Tile::parse(&tile.path()), Some((tile, Resource::Hashes)));
        let entries = Tile::new(0, tile.index(), tile.width()).expect("in range");
        prop_assert_eq!(Tile::parse(&entries.entries_path()), Some((entries, Resource::Entries)));
    }

    #[test]
    fn a_bundle_is_read_as_it_was_printed(entries in vec(vec(any::<u8>(), 0..40), 0..=256)) {
        let mut bytes = Vec::new();
        entries.iter().for_each(|entry| bundle::push(&mut bytes, entry));
        prop_assert_eq!(bundle::parse(&bytes), Ok(entries.iter().map(Vec::as_slice).collect()));
    }
}

/// Gives `bytes` to every parser. Whatever accepts them prints them again, byte for byte.
fn read_by_all(bytes: &[u8]) {
    if let Ok(note) = Note::parse(bytes) {
        assert_eq!(note.to_string().as_bytes(), bytes);
        let keys = [KeyType::Ed25519, KeyType::Ed25519Cosignature]
            .map(|kind| signer("x", kind, 1).verifier().clone());
        let _ = note.verify(&keys);
    }
    if let Ok(entries) = bundle::parse(bytes) {
        let mut again = Vec::new();
        entries.into_iter().for_each(|entry| bundle::push(&mut again, entry));
        assert_eq!(again, bytes);
    }
    let width = (bytes.len() / Hash::BYTES).clamp(1, 256) as u16;
    let tile = Tile::new(0, 0, width).expect("in range");
    assert_eq!(parse_hashes(tile, bytes).is_some(), bytes.len() == usize::from(width) * Hash::BYTES);
    assert!(Hash::from_slice(bytes).is_none_or(|hash| hash.as_bytes() == bytes));

    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let same = |printed: String| assert_eq!(printed, text);
    let _ = Checkpoint::parse(text).map(|checkpoint| same(checkpoint.to_string()));
    let _ = TlogProof::parse(text).map(|proof| same(proof.to_string()));
    let _ = text.parse::<VerifierKey>().map(|key| same(key.to_string()));
    let _ = text.parse::<SignerKey>().map(|key| same(key.to_skey().to_string()));
    let _ = NoteSignature::parse(text).map(|line| same(line.to_string()));
    let _ = KeyName::new(text).map(|name| same(name.to_string()));
    let _ = Hash::from_base64(text).map(|hash| same(hash.to_base64()));
    let _ = Hash::from_hex(text).map(|hash| same(hash.to_string()));
    let _ = encoding::parse_decimal(text).map(|number| same(number.to_string()));
    let _ = encoding::decode_base64(text).map(|bytes| same(encoding::base64(&bytes)));
    let _ = Tile::parse(text).map(|(tile, resource)| {
        same(if resource == Resource::Hashes { tile.path() } else { tile.entries_path() });
    });
    if let Ok(policy) = text.parse::<Policy>() {
        let met = policy.is_met_by(|_| true);
        assert!(met && policy.weakest_quorum() <= policy.witnesses().len());
    }
}

/// Some of the lines of a policy; many of these are one.
fn policy() -> impl Strategy<Value = String> {
    let key = |kind, seed| signer("x", kind, seed).verifier().to_string();
    let lines = [
        format!("log {}\n", key(KeyType::Ed25519, 1)),
        format!("witness w {}\n", key(KeyType::Ed25519Cosignature, 2)),
        format!("witness v {} https://x\n", key(KeyType::MlDsa44Cosignature, 3)),
        "group g any w v\n".into(),
        "group h all g\n".into(),
        " # comment\n\t\n".into(),
    ];
    let quorum = select(vec!["quorum none\n", "quorum w\n", "quorum g", "quorum h\n"]);
    let lines = proptest::sample::subsequence(lines.to_vec(), 3..=6);
    (lines, quorum).prop_map(|(lines, quorum)| lines.concat() + quorum)
}

/// What is valid, in print: the edits below are made to it.
fn printed() -> impl Strategy<Value = String> {
    prop_oneof![
        note().prop_map(|note| note.to_string()),
        note().prop_map(|note| note.signatures()[0].to_string()),
        checkpoint().prop_map(|checkpoint| checkpoint.to_string()),
        proof().prop_map(|proof| proof.to_string()),
        signer_key().prop_map(|key| key.verifier().to_string()),
        signer_key().prop_map(|key| key.to_skey().to_string()),
        policy(),
        tile().prop_map(Tile::path),
        tile().prop_map(Tile::entries_path),
        hash().prop_map(Hash::to_base64),
        hash().prop_map(|hash| hash.to_string()),
        number().prop_map(|number| number.to_string()),
    ]
}

/// The words of all formats, for texts that get past the first look.
fn word() -> impl Strategy<Value = String> {
    let words = [
        "\n",
        "\r\n",
        " ",
        "\t",
        "+",
        "— ",
        "x",
        "0",
        "1",
        "01",
        "9223372036854775807",
        "/",
        ".p/",
        "x001/",
        "000",
        "255",
        "tile/",
        "entries/",
        "c2sp.org/tlog-proof@v1\n",
        "extra AA==\n",
        "index ",
        "index 0\n\n",
        "AAAAAAE=",
        "==",
        "x\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
        "\n— x AAAAAAE=\n",
        "— y AAAAAAE=\n",
        "PRIVATE+KEY+",
        "log ",
        "witness w ",
        "group g any w\n",
        "group h all g\n",
        "quorum ",
        "none\n",
        "g\n",
        "#",
        " https://x\n",
    ];
    prop_oneof![
        8 => select(words.map(str::to_owned).to_vec()),
        1 => line(),
        1 => (name(), kind()).prop_map(|(name, kind)| signer(name.as_str(), kind, 1).verifier().to_string()),
    ]
}

proptest! {
    #![proptest_config(cases(10_000))]

    #[test]
    fn any_bytes_are_refused_or_print_as_they_were(bytes in vec(any::<u8>(), 0..300)) {
        read_by_all(&bytes);
    }

    #[test]
    fn any_words_are_refused_or_print_as_they_were(words in vec(word(), 0..20)) {
        read_by_all(words.concat().as_bytes());
    }

    #[test]
    fn what_is_almost_valid_is_refused_or_prints_as_it_was(
        valid in printed(),
        edits in vec((any::<Index>(), 0..4, select(b"\n +=/.0x\x00\r\xe2A".to_vec())), 0..3),
    ) {
        let mut bytes = valid.into_bytes();
        for (at, edit, byte) in edits {
            let at = at.index(bytes.len() + 1);
            match edit {
                0 => bytes.insert(at, byte),
                1 => bytes.truncate(at),
                _ if at == bytes.len() => bytes.push(byte),
                2 => bytes[at] = byte,
                _ => {
                    bytes.remove(at);
                }
            }
        }
        read_by_all(&bytes);
    }

    #[test]
    fn any_32_bytes_are_one_ed25519_key_or_none(bytes: [u8; 32], message: [u8; 8], signature: [u8; 64]) {
        if let Ok(key) = Ed25519PublicKey::from_bytes(&bytes) {
            prop_assert_eq!(key.as_bytes(), &bytes);
            prop_assert!(!key.verify(&message, &signature));
        }
    }
}

proptest! {
    #![proptest_config(cases(500))]

    /// FIPS 204 has no invalid key of the right length; nobody's signature holds for it.
    #[test]
    fn any_1312_bytes_are_an_ml_dsa_key(key in vec(any::<u8>(), 1312), signature in vec(any::<u8>(), 2420)) {
        let key = MlDsa44PublicKey::from_slice(&key).expect("the right length");
        let signature = signature.as_slice().try_into().expect("the right length");
        prop_assert!(!key.verify(b"message", signature));
    }
}
