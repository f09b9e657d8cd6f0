//! What changes from a pinned policy to another one, and whether for the worse.

use tlog::policy::{Policy, Witness};

/// Why `new` is worth less than `old`, which is pinned, if it is.
pub(crate) fn weaker(old: &Policy, new: &Policy) -> Option<String> {
    let (before, after) = (old.weakest_quorum(), new.weakest_quorum());
    if after < before {
        return Some(format!("it is met by {after} cosignatures, the pinned one by no fewer than {before}"));
    }
    let (before_to_fork, to_fork) = (old.strength().dishonest_to_fork, new.strength().dishonest_to_fork);
    if to_fork < before_to_fork {
        return Some(format!(
            "{to_fork} dishonest witnesses can fork the log unseen under it, under the pinned one no fewer than \
             {before_to_fork}"
        ));
    }
    let is_unknown = |witness: &Witness| !old.witnesses().iter().any(|known| known.vkey == witness.vkey);
    if before > 0 && new.is_met_by(is_unknown) {
        return Some("it is met without any witness of the pinned one".to_owned());
    }
    None
}

/// The lines that went (`-`) and came (`+`), in their order.
pub(crate) fn lines(old: &str, new: &str) -> Vec<String> {
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

    /// As many cosignatures of more witnesses: the log can pick whom it shows what.
    #[test]
    fn the_same_number_out_of_more_is_weaker() {
        let key = |number: u8| {
            let name = tlog::key::KeyName::new(&format!("w{number}.example")).expect("a name");
            let kind = tlog::key::KeyType::Ed25519Cosignature;
            tlog::key::SignerKey::from_seed(name, kind, &[number; 32]).verifier().clone()
        };
        let witnesses: String = (0..4).map(|i| format!("witness w{i} {}\n", key(i))).collect();
        let quorum = |group: &str| policy(&format!("{witnesses}group g {group}\nquorum g\n"));
        let (all_of_2, two_of_3, two_of_4) =
            (quorum("all w0 w1"), quorum("2 w0 w1 w2"), quorum("2 w0 w1 w2 w3"));
        assert!(weaker(&all_of_2, &two_of_3).expect("weaker").starts_with("1 dishonest witnesses"));
        assert!(weaker(&two_of_3, &two_of_4).expect("weaker").starts_with("0 dishonest witnesses"));
        assert_eq!(weaker(&two_of_4, &two_of_3), None);
        assert_eq!(weaker(&two_of_3, &all_of_2), None);
    }

    #[test]
    fn the_difference_shows_what_went_and_came() {
        assert_eq!(lines("a\nb\n", "a\nc\n"), ["- b", "+ c"]);
        assert_eq!(lines("a\n", "a\n"), [""; 0]);
    }
}
