//! What the consumer decides: roots, thresholds, and numbers that are never floats.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use attestation::did::Did;
use attestation::event::Scope;
use attestation::quote::quoted;

/// The longest path there can be.
pub const MAX_HOPS: u8 = 7;

/// The most paths that can be asked for, and that are judged together.
pub const MAX_PATHS: usize = 8;

/// The most roots of a consumer.
pub const MAX_ROOTS: usize = 256;

/// A share of the whole in parts per million; at most the whole.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Ppm(u32);

impl Ppm {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Everything.
    pub const ONE: Self = Self(1_000_000);

    /// This many parts per million, unless it is more than the whole.
    pub const fn new(parts: u32) -> Option<Self> {
        if parts <= Self::ONE.0 { Some(Self(parts)) } else { None }
    }

    /// The number of parts.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The product, rounded down.
    #[must_use]
    pub fn times(self, other: Self) -> Self {
        let product = u64::from(self.0) * u64::from(other.0) / u64::from(Self::ONE.0);
        Self(u32::try_from(product).expect("a product of shares is a share"))
    }
}

/// Four decimals, half up: for people. Comparisons are between parts.
impl fmt::Display for Ppm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounded = (self.0 + 50) / 100;
        write!(f, "{}.{:04}", rounded / 10_000, rounded % 10_000)
    }
}

/// Reads `0`, `1`, `0.5`: at most six decimals, no sign, no exponent, no other spelling.
impl FromStr for Ppm {
    type Err = PpmError;

    fn from_str(text: &str) -> Result<Self, PpmError> {
        let bad = || PpmError(quoted(text));
        let (whole, decimals) = match text.split_once('.') {
            Some((whole, decimals)) if (1..=6).contains(&decimals.len()) => (whole, decimals),
            Some(_) => return Err(bad()),
            None => (text, ""),
        };
        if !matches!(whole, "0" | "1") || !decimals.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(bad());
        }
        let parts = format!("{whole}{decimals:0<6}").parse().ok().and_then(Self::new);
        parts.ok_or_else(bad)
    }
}

/// Why a text is no share.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a number from 0 to 1 with at most six decimals, such as 0.5: {0}")]
pub struct PpmError(String);

/// For what somebody is to be trusted.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ScopeQuery {
    /// For whatever somebody vouched for.
    Any,
    /// For this: vouches for it and for everything count.
    Only(Scope),
}

impl ScopeQuery {
    /// Whether what is said in `scope` counts.
    pub fn matches(self, scope: Scope) -> bool {
        match self {
            Self::Any => true,
            Self::Only(wanted) => scope == wanted || scope == Scope::General,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "ANY",
            Self::Only(scope) => scope.name(),
        }
    }
}

impl fmt::Display for ScopeQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Reads `ANY` or the name of a scope.
impl FromStr for ScopeQuery {
    type Err = ScopeQueryError;

    fn from_str(text: &str) -> Result<Self, ScopeQueryError> {
        match text {
            "ANY" => Ok(Self::Any),
            _ => Scope::parse(text).map(Self::Only).ok_or_else(|| ScopeQueryError(quoted(text))),
        }
    }
}

/// Why a text is no scope.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a scope is GENERAL, CODE_SIGNING, FINANCIAL, INFORMATION, IDENTITY or ANY: {0}")]
pub struct ScopeQueryError(String);

/// What the consumer decides.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Params {
    roots: BTreeMap<Did, u16>,
    decay: u16,
    max_hops: u8,
    floor: Ppm,
    threshold: Ppm,
    min_paths: u8,
    scope: ScopeQuery,
}

impl Params {
    /// The weight of a root that is trusted as oneself, in per mille.
    pub const FULL_ROOT: u16 = 1_000;

    /// Roots with their weights in per mille, 1 to 1,000. The rest has the defaults of `specs/trust.md`: decay 0.8, five
    /// hops, no history needed, threshold 0, one path, scope `GENERAL`.
    pub fn new(roots: impl IntoIterator<Item = (Did, u16)>) -> Result<Self, ParamsError> {
        let mut known = BTreeMap::new();
        for (did, weight) in roots {
            if !(1..=Self::FULL_ROOT).contains(&weight) {
                return Err(ParamsError::RootWeight { did, weight });
            }
            if known.insert(did, weight).is_some() {
                return Err(ParamsError::RootTwice(did));
            }
        }
        if !(1..=MAX_ROOTS).contains(&known.len()) {
            return Err(ParamsError::RootCount(known.len()));
        }
        Ok(Self {
            roots: known,
            decay: 800,
            max_hops: 5,
            floor: Ppm::ONE,
            threshold: Ppm::ZERO,
            min_paths: 1,
            scope: ScopeQuery::Only(Scope::General),
        })
    }

    /// What is left of trust at each hop, in per mille, 1 to 1,000.
    pub fn with_decay(mut self, decay: u16) -> Result<Self, ParamsError> {
        self.decay = decay;
        if (1..=1_000).contains(&decay) { Ok(self) } else { Err(ParamsError::Decay(decay)) }
    }

    /// The longest path, 1 to [`MAX_HOPS`].
    pub fn with_max_hops(mut self, hops: u8) -> Result<Self, ParamsError> {
        self.max_hops = hops;
        if (1..=MAX_HOPS).contains(&hops) { Ok(self) } else { Err(ParamsError::Hops(hops)) }
    }

    /// What a DID without any history keeps of its social score.
    #[must_use]
    pub fn with_floor(mut self, floor: Ppm) -> Self {
        self.floor = floor;
        self
    }

    /// The score that passes.
    #[must_use]
    pub fn with_threshold(mut self, threshold: Ppm) -> Self {
        self.threshold = threshold;
        self
    }

    /// How many paths must reach the threshold that share nothing but the target, 1 to [`MAX_PATHS`].
    pub fn with_min_paths(mut self, paths: u8) -> Result<Self, ParamsError> {
        self.min_paths = paths;
        if (1..=MAX_PATHS).contains(&usize::from(paths)) { Ok(self) } else { Err(ParamsError::Paths(paths)) }
    }

    /// For what.
    #[must_use]
    pub fn with_scope(mut self, scope: ScopeQuery) -> Self {
        self.scope = scope;
        self
    }

    /// The roots and their weights in per mille, in the order of their DIDs; never empty.
    pub fn roots(&self) -> impl ExactSizeIterator<Item = (Did, u16)> {
        self.roots.iter().map(|(did, weight)| (*did, *weight))
    }

    /// The weight of a root in per mille; `None` if the DID is none.
    pub fn root(&self, did: Did) -> Option<u16> {
        self.roots.get(&did).copied()
    }

    /// What is left of trust at each hop, in per mille.
    pub fn decay(&self) -> u16 {
        self.decay
    }

    /// The longest path.
    pub fn max_hops(&self) -> u8 {
        self.max_hops
    }

    /// What a DID without any history keeps of its social score.
    pub fn floor(&self) -> Ppm {
        self.floor
    }

    /// The score that passes.
    pub fn threshold(&self) -> Ppm {
        self.threshold
    }

    /// How many paths must reach the threshold that share nothing but the target.
    pub fn min_paths(&self) -> u8 {
        self.min_paths
    }

    /// For what.
    pub fn scope(&self) -> ScopeQuery {
        self.scope
    }
}

/// Why a judgement cannot be asked for so.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ParamsError {
    /// A decay that is none.
    #[error("a decay is 1 to 1000 per mille, not {0}")]
    Decay(u16),
    /// No path, or too long a one.
    #[error("a path has 1 to {MAX_HOPS} hops, not {0}")]
    Hops(u8),
    /// No path, or too many.
    #[error("1 to {MAX_PATHS} paths can be asked for, not {0}")]
    Paths(u8),
    /// No root, or too many.
    #[error("there are 1 to {MAX_ROOTS} trust roots, not {0}")]
    RootCount(usize),
    /// A root that is named twice.
    #[error("the trust root {0} is named twice")]
    RootTwice(Did),
    /// A weight that is none.
    #[error("a root's weight is 1 to 1000 per mille, not {weight}, of {did}")]
    RootWeight {
        /// The root.
        did: Did,
        /// Its weight.
        weight: u16,
    },
}
