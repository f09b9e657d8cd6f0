use attestation::did::Did;
use attestation::event::{Level, Scope};

use super::*;

fn did(byte: u8) -> Did {
    Did::from_bytes([byte; 16])
}

#[test]
fn shares_are_read_in_one_spelling_and_never_as_floats() {
    for (text, parts) in [
        ("0", 0),
        ("0.0", 0),
        ("1", 1_000_000),
        ("1.000000", 1_000_000),
        ("0.5", 500_000),
        ("0.500000", 500_000),
        ("0.000001", 1),
        ("0.999999", 999_999),
    ] {
        assert_eq!(text.parse(), Ok(Ppm::new(parts).expect("a share")), "{text}");
    }
    for text in [
        "",
        ".",
        "0.",
        ".5",
        "00",
        "01",
        "2",
        "1.1",
        "1.000001",
        "-0",
        "-1",
        "+0.5",
        "0.0000001",
        "0.5 ",
        " 0.5",
        "5e-1",
        "NaN",
        "inf",
        "0,5",
        "0.5;id",
        "0.٣",
        "0x1",
        "0.1_0",
        "1000000000000000000000000000000000000000",
    ] {
        assert!(text.parse::<Ppm>().is_err(), "{text:?}");
    }
}

#[test]
fn shares_are_shown_with_four_decimals_half_up() {
    for (parts, text) in [
        (0, "0.0000"),
        (49, "0.0000"),
        (50, "0.0001"),
        (327_680, "0.3277"),
        (999_950, "1.0000"),
        (1_000_000, "1.0000"),
    ] {
        assert_eq!(Ppm::new(parts).expect("a share").to_string(), text);
    }
    assert_eq!(Ppm::new(1_000_001), None);
}

#[test]
fn parameters_out_of_their_range_are_refused() {
    let root = (did(1), 1_000);
    let params = || Params::new([root]).expect("one root");
    assert_eq!(Params::new([]), Err(ParamsError::RootCount(0)));
    assert_eq!(Params::new([root, (did(1), 5)]), Err(ParamsError::RootTwice(did(1))));
    for weight in [0, 1_001] {
        assert_eq!(Params::new([(did(1), weight)]), Err(ParamsError::RootWeight { did: did(1), weight }));
    }
    for decay in [0, 1_001] {
        assert_eq!(params().with_decay(decay), Err(ParamsError::Decay(decay)));
    }
    for hops in [0, 8] {
        assert_eq!(params().with_max_hops(hops), Err(ParamsError::Hops(hops)));
    }
    for paths in [0, 9] {
        assert_eq!(params().with_min_paths(paths), Err(ParamsError::Paths(paths)));
    }
}

/// The most that a product can be is the whole: nothing overflows.
#[test]
fn the_longest_path_of_full_weight_is_the_whole() {
    let params =
        Params::new([(did(1), 1_000)]).and_then(|params| params.with_decay(1_000)).expect("parameters");
    for hops in 0..=usize::from(MAX_HOPS) {
        let product = (0..hops).map(|_| worth::hop_factor(Level::Ultimate, &params)).product();
        assert_eq!(worth::to_ppm(worth::common(1_000, product, hops)), Ppm::ONE, "{hops} hops");
    }
    let least = worth::common(1, 50_u128.pow(7), 7);
    assert_eq!(worth::to_ppm(least), Ppm::ZERO);
}

#[test]
fn scopes_match_themselves_and_everything() {
    use Scope::{CodeSigning, Financial, General};
    for (query, scope, matches) in [
        ("ANY", Financial, true),
        ("CODE_SIGNING", CodeSigning, true),
        ("CODE_SIGNING", General, true),
        ("CODE_SIGNING", Financial, false),
        ("GENERAL", General, true),
        ("GENERAL", CodeSigning, false),
    ] {
        let parsed: ScopeQuery = query.parse().expect("a scope");
        assert_eq!((parsed.matches(scope), parsed.name()), (matches, query));
    }
    assert!("any".parse::<ScopeQuery>().is_err());
}
