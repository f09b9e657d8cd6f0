//! What a quorum is worth: how many dishonest witnesses can fork the log unseen, how many failures halt it.
//!
//! Both are defined at [`Strength`].
//!
//! A name is a member of one group at most. So the groups below a quorum are a tree, and both numbers are computed from its
//! leaves up. Only a witness with keys in several places of the tree ties these places together; for such witnesses every
//! behaviour is tried. If there are more than [`MAX_SPREAD`], the rest counts as dishonest and failing at no cost: then both
//! numbers are lower bounds, and [`Strength::is_exact`] says so.

use super::{Member, Policy};
use crate::key::KeyName;

/// The most witnesses with keys in several places for which the numbers are exact: 3^8 ways to behave.
pub const MAX_SPREAD: usize = 8;

/// What the quorum of a policy is worth.
///
/// Here keys with one name are one *witness*, which is honest or dishonest, up or down, with all of them.
///
/// - A **fork is unseen** if two views of the log both meet the quorum. An honest witness signs one view only, a
///   dishonest one both. The number is the size of the smallest set `D` such that two sets of witnesses `A` and
///   `B` both meet the quorum and `A ∩ B ⊆ D`.
/// - The log **halts** if the quorum cannot be met. The number is the size of the smallest set of witnesses whose
///   failure does that.
///
/// | quorum | dishonest to fork | failures to halt |
/// |---|---|---|
/// | `none` | 0 | never |
/// | one witness | 1 | 1 |
/// | any of 3 | 0 | 3 |
/// | 2 of 3 | 1 | 2 |
/// | 3 of 5 | 1 | 3 |
/// | all of 3 | 3 | 1 |
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Strength {
    /// The fewest dishonest witnesses that let a log show two views which both meet the quorum.
    pub dishonest_to_fork: usize,
    /// The fewest witnesses without which the quorum cannot be met; `None` if it asks for none.
    pub failures_to_halt: Option<usize>,
    /// Whether the numbers are exact. Else they are lower bounds: see [`MAX_SPREAD`].
    pub is_exact: bool,
}

impl Policy {
    /// What the quorum is worth, exactly, up to [`MAX_SPREAD`].
    pub fn strength(&self) -> Strength {
        let Some(quorum) = self.quorum else {
            return Strength { dishonest_to_fork: 0, failures_to_halt: None, is_exact: true };
        };
        let names = self.key_names();
        let tree = Tree::of(self, quorum, &names);
        let spread = tree.spread(names.len());
        let (tried, given_away) = spread.split_at(spread.len().min(MAX_SPREAD));
        Strength {
            dishonest_to_fork: dishonest_to_fork(&tree, names.len(), tried, given_away),
            failures_to_halt: Some(failures_to_halt(&tree, names.len(), tried, given_away)),
            is_exact: given_away.is_empty(),
        }
    }

    /// The witnesses, by the names of their keys, whose keys stand in several places below the quorum: each has a
    /// vote in each. A witness with several keys has one vote if they stand alone in one group.
    pub fn spread_witnesses(&self) -> Vec<&KeyName> {
        let Some(quorum) = self.quorum else { return Vec::new() };
        let names = self.key_names();
        let spread = Tree::of(self, quorum, &names).spread(names.len());
        spread.into_iter().map(|witness| names[witness]).collect()
    }

    /// The names of the witnesses' keys, each once.
    fn key_names(&self) -> Vec<&KeyName> {
        let mut names: Vec<&KeyName> = self.witnesses.iter().map(|witness| witness.vkey.name()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// A quorum. A group with the keys of one witness and nothing else is that witness.
enum Tree {
    Witness(usize),
    Group { threshold: usize, members: Vec<Tree> },
}

impl Tree {
    /// The tree below `member`; witnesses are numbered by their place in `names`.
    fn of(policy: &Policy, member: Member, names: &[&KeyName]) -> Self {
        match member {
            Member::Witness(at) => {
                let name = policy.witnesses[at].vkey.name();
                Self::Witness(names.binary_search(&name).expect("every witness's name is there"))
            }
            Member::Group(at) => {
                let group = &policy.groups[at];
                let members: Vec<Self> =
                    group.members.iter().map(|member| Self::of(policy, *member, names)).collect();
                match members[0] {
                    Self::Witness(first) if members.iter().all(|member| member.is_witness(first)) => {
                        Self::Witness(first)
                    }
                    _ => Self::Group { threshold: group.threshold, members },
                }
            }
        }
    }

    fn is_witness(&self, number: usize) -> bool {
        matches!(self, Self::Witness(own) if *own == number)
    }

    /// The witnesses of `count` that stand in several places.
    fn spread(&self, count: usize) -> Vec<usize> {
        let mut places = vec![0_usize; count];
        self.count_places(&mut places);
        (0..count).filter(|witness| places[*witness] > 1).collect()
    }

    fn count_places(&self, places: &mut [usize]) {
        match self {
            Self::Witness(witness) => places[*witness] += 1,
            Self::Group { members, .. } => members.iter().for_each(|member| member.count_places(places)),
        }
    }

    /// Which views can meet this, and what it costs to let both.
    fn views(&self, conduct: &[Conduct]) -> Views {
        match self {
            Self::Witness(witness) => match conduct[*witness] {
                Conduct::Free => Views { first: true, second: true, cost_of_both: 1 },
                Conduct::First => Views { first: true, second: false, cost_of_both: 0 },
                Conduct::Second => Views { first: false, second: true, cost_of_both: 0 },
                Conduct::Both => Views { first: true, second: true, cost_of_both: 0 },
            },
            Self::Group { threshold, members } => {
                let members: Vec<Views> = members.iter().map(|member| member.views(conduct)).collect();
                group_views(*threshold, &members)
            }
        }
    }

    /// What it costs to keep this from being met; `None` if nothing does.
    fn cost_to_halt(&self, state: &[State]) -> Option<usize> {
        match self {
            Self::Witness(witness) => match state[*witness] {
                State::Free => Some(1),
                State::Failed => Some(0),
                State::Up => None,
            },
            Self::Group { threshold, members } => {
                let needed = members.len() - threshold + 1;
                let mut costs: Vec<usize> =
                    members.iter().filter_map(|member| member.cost_to_halt(state)).collect();
                costs.sort_unstable();
                (costs.len() >= needed).then(|| costs[..needed].iter().sum())
            }
        }
    }
}

/// What a witness does when the log shows two views.
#[derive(Clone, Copy)]
enum Conduct {
    /// Whatever suits the log, for a price of one if that is to sign both.
    Free,
    First,
    Second,
    Both,
}

/// Whether a witness is there.
#[derive(Clone, Copy)]
enum State {
    /// As suits, for a price of one if that is to fail.
    Free,
    Failed,
    Up,
}

#[derive(Clone, Copy)]
struct Views {
    first: bool,
    second: bool,
    /// How many free witnesses have to be dishonest so that both views meet it at once, if each can.
    cost_of_both: usize,
}

/// `threshold` of `members` in both views: as few members as possible serve both, and of those the cheapest.
fn group_views(threshold: usize, members: &[Views]) -> Views {
    let only_first = members.iter().filter(|views| views.first && !views.second).count();
    let only_second = members.iter().filter(|views| views.second && !views.first).count();
    let either = members.iter().filter(|views| views.first && views.second);
    let mut costs: Vec<usize> = either.map(|views| views.cost_of_both).collect();
    costs.sort_unstable();
    // Of the members that can serve either view, `both` serve both; the others are shared out.
    let suffices = |both: usize| {
        let missing = |only: usize| threshold.saturating_sub(only + both);
        missing(only_first) + missing(only_second) <= costs.len() - both
    };
    let fewest = (0..=costs.len()).find(|both| suffices(*both));
    Views {
        first: only_first + costs.len() >= threshold,
        second: only_second + costs.len() >= threshold,
        cost_of_both: fewest.map_or(0, |fewest| costs[..fewest].iter().sum()),
    }
}

/// Tries every way in which the witnesses in `tried` may behave; those in `given_away` sign both for nothing.
fn dishonest_to_fork(tree: &Tree, witnesses: usize, tried: &[usize], given_away: &[usize]) -> usize {
    let mut conduct = vec![Conduct::Free; witnesses];
    given_away.iter().for_each(|witness| conduct[*witness] = Conduct::Both);
    let mut least = usize::MAX;
    for mut way in 0..3_usize.pow(tried.len() as u32) {
        let mut dishonest = 0;
        for witness in tried {
            conduct[*witness] = [Conduct::First, Conduct::Second, Conduct::Both][way % 3];
            dishonest += usize::from(way % 3 == 2);
            way /= 3;
        }
        let views = tree.views(&conduct);
        if views.first && views.second {
            least = least.min(dishonest + views.cost_of_both);
        }
    }
    assert!(least <= witnesses, "when every witness is dishonest, both views meet any quorum");
    least
}

/// Tries every set of the witnesses in `tried` as the failed ones; those in `given_away` fail for nothing.
fn failures_to_halt(tree: &Tree, witnesses: usize, tried: &[usize], given_away: &[usize]) -> usize {
    let mut state = vec![State::Free; witnesses];
    given_away.iter().for_each(|witness| state[*witness] = State::Failed);
    let mut least = usize::MAX;
    for failed in 0..1_usize << tried.len() {
        for (witness, bit) in tried.iter().zip(0..) {
            state[*witness] = if failed >> bit & 1 == 1 { State::Failed } else { State::Up };
        }
        if let Some(cost) = tree.cost_to_halt(&state) {
            least = least.min(failed.count_ones() as usize + cost);
        }
    }
    assert!(least <= witnesses, "when every witness fails, no quorum is met");
    least
}
