//! What changed between a pinned policy and an offered one.

use tlog::policy::{Policy, Witness};

/// Why `new` is met by less than `old`, if it is.
pub(super) fn weaker(old: &Policy, new: &Policy) -> Option<String> {
    let (before, after) = (old.weakest_quorum(), new.weakest_quorum());
    if after < before {
        return Some(format!("it is met by {after} cosignatures, the pinned one by no fewer than {before}"));
    }
    let is_unknown = |witness: &Witness| !old.witnesses().iter().any(|known| known.vkey == witness.vkey);
    if before > 0 && new.is_met_by(is_unknown) {
        return Some("it is met without any witness of the pinned one".to_owned());
    }
    None
}

/// The lines that went (`-`) and came (`+`), in their order.
pub(super) fn lines(old: &str, new: &str) -> Vec<String> {
    let only_in = |one: &str, other: &str, sign: char| -> Vec<String> {
        let others: Vec<&str> = other.lines().collect();
        let lines = one.lines().filter(|line| !others.contains(line));
        lines.map(|line| format!("{sign} {line}")).collect()
    };
    [only_in(old, new, '-'), only_in(new, old, '+')].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITNESS: &str =
        "witness w witness.example.com+e5941423+BKCapfR6Z1mAL/lV+NwtKhSlyZ0jvpf4ZBJ/+Tg0VaTw\n";

    fn policy(text: &str) -> Policy {
        text.parse().expect("a policy")
    }

    #[test]
    fn fewer_or_only_unknown_cosignatures_are_weaker() {
        let one = policy(&format!("{WITNESS}quorum w\n"));
        let none = policy("quorum none\n");
        assert_eq!(weaker(&one, &one), None);
        assert_eq!(weaker(&none, &one), None);
        assert!(weaker(&one, &none).expect("weaker").contains("met by 0"));
        // The same key under another name is another witness to a verifier.
        let named = tlog::key::VerifierKey::new(
            tlog::key::KeyName::new("other.example.com").expect("a name"),
            one.witnesses()[0].vkey.key().clone(),
        );
        let other = policy(&format!("witness v {named}\nquorum v\n"));
        assert!(weaker(&one, &other).expect("weaker").contains("without any witness"));
    }

    #[test]
    fn the_difference_shows_what_went_and_came() {
        assert_eq!(lines("a\nb\n", "a\nc\n"), ["- b", "+ c"]);
        assert_eq!(lines("a\n", "a\n"), [""; 0]);
    }
}
