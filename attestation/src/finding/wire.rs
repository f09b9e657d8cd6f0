//! A finding as JSON: strict to read, one form to write.

use serde_json::{Value, json};
use tlog::checkpoint::is_origin;
use tlog::encoding;
use tlog::fork::Fork;
use tlog::key::{KeyError, VerifierKey};
use tlog::note::{Note, NoteError};
use tlog::tile::{Resource, Tile};
use tlog::{Hash, LeafIndex};

use super::{
    BadEntry, BadTile, FalseAssertion, Finding, Forgotten, MAX_DETAIL_BYTES, MAX_FINDING_BYTES, MAX_VKEYS,
    MEDIA_TYPE, Proof, ProvenLeaf, Served, Shrink, Stale, is_of, path,
};
use crate::entry::LogTime;
use crate::json::{JsonError, MAX_DEPTH, Object};
use crate::leaf::Rule;
use crate::lists::Listed;
use crate::quote::quoted;

impl Finding {
    /// Reads a finding.
    pub fn parse(bytes: &[u8]) -> Result<Self, FindingError> {
        if bytes.len() > MAX_FINDING_BYTES {
            return Err(FindingError::TooLong(bytes.len()));
        }
        let mut finding = Object::parse(bytes, MAX_DEPTH)?;
        let media_type = finding.string("mediaType")?;
        if media_type != MEDIA_TYPE {
            return Err(FindingError::MediaType(quoted(&media_type)));
        }
        let class = finding.string("class")?;
        let origin = finding.string("origin")?;
        if !is_origin(&origin) {
            return Err(FindingError::Origin(quoted(&origin)));
        }
        let vkeys = vkeys(finding.strings("vkeys")?, &origin)?;
        let found_at = time(&mut finding, "foundAt")?;
        let detail = finding.string("detail")?;
        if detail.len() > MAX_DETAIL_BYTES || detail.contains(char::is_control) {
            return Err(FindingError::Detail);
        }
        let proof = proof(&class, finding.object("evidence")?)?;
        finding.finish()?;
        Ok(Self { origin, vkeys, found_at, detail, proof })
    }

    /// The finding as it is written to a file: members sorted by name, indented by two spaces, newline at the
    /// end. The same finding always gives the same text.
    pub fn to_json(&self) -> String {
        let mut json = serde_json::to_string_pretty(&self.to_value()).expect("text in, JSON out");
        json.push('\n');
        json
    }

    /// The finding on one line, without a newline.
    pub fn to_json_line(&self) -> String {
        self.to_value().to_string()
    }

    fn to_value(&self) -> Value {
        let vkeys: Vec<String> = self.vkeys.iter().map(VerifierKey::to_string).collect();
        json!({
            "mediaType": MEDIA_TYPE,
            "class": self.class(),
            "origin": self.origin,
            "vkeys": vkeys,
            "foundAt": self.found_at.as_millis(),
            "detail": self.detail,
            "evidence": self.proof.to_value(),
        })
    }
}

impl Proof {
    fn to_value(&self) -> Value {
        match self {
            Self::Fork(fork) => json!({
                "older": fork.older.to_string(),
                "newer": fork.newer.to_string(),
                "prefixRoot": fork.prefix_root.to_base64(),
                "proof": base64_of(&fork.proof),
            }),
            Self::Shrink(shrink) => json!({
                "larger": shrink.larger.to_string(),
                "largerSeenAt": shrink.larger_seen_at.as_millis(),
                "smaller": shrink.smaller.to_string(),
                "smallerSeenAt": shrink.smaller_seen_at.as_millis(),
            }),
            Self::BadTile(BadTile { checkpoint, served }) => match served {
                Served::One { tile, resource, bytes, root, proof } => json!({
                    "checkpoint": checkpoint.to_string(),
                    "path": path(*tile, *resource),
                    "served": encoding::base64(bytes),
                    "root": root.to_base64(),
                    "proof": base64_of(proof),
                }),
                Served::Edge(tiles) => {
                    let tile = |(tile, bytes): &(Tile, Vec<u8>)| json!({"path": tile.path(), "served": encoding::base64(bytes)});
                    let edge: Vec<Value> = tiles.iter().map(tile).collect();
                    json!({"checkpoint": checkpoint.to_string(), "edge": edge})
                }
            },
            Self::BadEntry(bad) => {
                let mut proof = json!({
                    "checkpoint": bad.checkpoint.to_string(),
                    "rule": bad.rule.name(),
                    "leaf": bad.leaf.to_value(),
                });
                if let Some(earlier) = &bad.earlier {
                    proof["earlier"] = earlier.to_value();
                }
                if !bad.identity.is_empty() {
                    proof["identity"] = bad.identity.iter().map(ProvenLeaf::to_value).collect();
                }
                if !bad.references.is_empty() {
                    proof["references"] = bad.references.iter().map(ProvenLeaf::to_value).collect();
                }
                proof
            }
            Self::FalseAssertion(said) => {
                let entries = said.entries.iter().map(|listed| encoding::base64(&listed.to_bytes()));
                json!({
                    "assertion": said.assertion.to_string(),
                    "list": said.list.to_string(),
                    "entries": entries.collect::<Vec<_>>(),
                    "leaf": said.leaf.to_value(),
                })
            }
            Self::Stale(stale) => {
                let mut proof = json!({
                    "checkpoint": stale.checkpoint.to_string(),
                    "staleAfter": stale.stale_after,
                });
                if let Some(ahead) = &stale.ahead {
                    proof["ahead"] = ahead.to_string().into();
                }
                proof
            }
            Self::Forgotten(forgotten) => {
                let mut proof = json!({
                    "witness": forgotten.witness.to_string(),
                    "larger": forgotten.larger.to_string(),
                });
                if let Some(smaller) = &forgotten.smaller {
                    proof["smaller"] = smaller.to_string().into();
                }
                proof
            }
        }
    }
}

impl ProvenLeaf {
    fn to_value(&self) -> Value {
        json!({
            "index": self.index.get(),
            "entry": encoding::base64(&self.bytes),
            "proof": base64_of(&self.proof),
        })
    }

    fn from_json(mut leaf: Object) -> Result<Self, FindingError> {
        let index = LeafIndex::new(leaf.integer("index")?);
        let bytes = bytes(&mut leaf, "entry")?;
        let proof = hashes(&mut leaf, "proof")?;
        leaf.finish()?;
        Ok(Self { index, bytes, proof })
    }
}

fn vkeys(texts: Vec<String>, origin: &str) -> Result<Vec<VerifierKey>, FindingError> {
    if !(1..=MAX_VKEYS).contains(&texts.len()) {
        return Err(FindingError::VkeyCount(texts.len()));
    }
    let mut vkeys: Vec<VerifierKey> = Vec::new();
    for text in texts {
        let vkey: VerifierKey = text.parse()?;
        if !is_of(&vkey, origin) || vkeys.contains(&vkey) {
            return Err(FindingError::NotALogKey(quoted(&text)));
        }
        vkeys.push(vkey);
    }
    Ok(vkeys)
}

fn proof(class: &str, mut of: Object) -> Result<Proof, FindingError> {
    let proof = match class {
        "fork" => Proof::Fork(Fork {
            older: note(&mut of, "older")?,
            newer: note(&mut of, "newer")?,
            prefix_root: hash(&mut of, "prefixRoot")?,
            proof: hashes(&mut of, "proof")?,
        }),
        "shrink" => Proof::Shrink(Shrink {
            larger: note(&mut of, "larger")?,
            larger_seen_at: time(&mut of, "largerSeenAt")?,
            smaller: note(&mut of, "smaller")?,
            smaller_seen_at: time(&mut of, "smallerSeenAt")?,
        }),
        "bad-tile" => Proof::BadTile(BadTile {
            checkpoint: note(&mut of, "checkpoint")?,
            served: match of.optional_objects("edge")? {
                Some(edge) => served_edge(edge)?,
                None => served_one(&mut of)?,
            },
        }),
        "bad-entry" => Proof::BadEntry(BadEntry {
            checkpoint: note(&mut of, "checkpoint")?,
            rule: of
                .string("rule")
                .map_err(FindingError::from)
                .and_then(|rule| Rule::parse(&rule).ok_or_else(|| FindingError::Rule(quoted(&rule))))?,
            leaf: ProvenLeaf::from_json(of.object("leaf")?)?,
            earlier: of.optional_object("earlier")?.map(ProvenLeaf::from_json).transpose()?,
            identity: leaves(&mut of, "identity")?,
            references: leaves(&mut of, "references")?,
        }),
        "false-assertion" => Proof::FalseAssertion(FalseAssertion {
            assertion: note(&mut of, "assertion")?,
            list: of
                .string("list")?
                .parse()
                .map_err(|_| FindingError::Value { member: "list", want: "the name of a list" })?,
            entries: listed(of.strings("entries")?)?,
            leaf: ProvenLeaf::from_json(of.object("leaf")?)?,
        }),
        "stale" => Proof::Stale(Stale {
            checkpoint: note(&mut of, "checkpoint")?,
            stale_after: of.integer("staleAfter")?,
            ahead: match of.optional_string("ahead")? {
                None => None,
                Some(text) => Some(parse_note(&text, "ahead")?),
            },
        }),
        "forgotten" => Proof::Forgotten(Forgotten {
            witness: of.string("witness")?.parse().map_err(FindingError::Witness)?,
            larger: note(&mut of, "larger")?,
            smaller: match of.optional_string("smaller")? {
                None => None,
                Some(text) => Some(parse_note(&text, "smaller")?),
            },
        }),
        other => return Err(FindingError::Class(quoted(other))),
    };
    of.finish()?;
    Ok(proof)
}

fn served_one(of: &mut Object) -> Result<Served, FindingError> {
    let path = of.string("path")?;
    let (tile, resource) = Tile::parse(&path).ok_or_else(|| FindingError::Path(quoted(&path)))?;
    Ok(Served::One {
        tile,
        resource,
        bytes: bytes(of, "served")?,
        root: hash(of, "root")?,
        proof: hashes(of, "proof")?,
    })
}

fn served_edge(edge: Vec<Object>) -> Result<Served, FindingError> {
    let tile = |mut of: Object| {
        let path = of.string("path")?;
        let bytes = bytes(&mut of, "served")?;
        of.finish()?;
        match Tile::parse(&path) {
            Some((tile, Resource::Hashes)) => Ok((tile, bytes)),
            _ => Err(FindingError::Path(quoted(&path))),
        }
    };
    edge.into_iter().map(tile).collect::<Result<_, _>>().map(Served::Edge)
}

fn leaves(of: &mut Object, member: &str) -> Result<Vec<ProvenLeaf>, FindingError> {
    let leaves = of.optional_objects(member)?.unwrap_or_default();
    leaves.into_iter().map(ProvenLeaf::from_json).collect()
}

fn listed(texts: Vec<String>) -> Result<Vec<Listed>, FindingError> {
    let entry = |text: &String| Listed::from_bytes(&encoding::decode_base64_array(text)?);
    let entries: Option<Vec<Listed>> = texts.iter().map(entry).collect();
    entries.ok_or(FindingError::Value { member: "entries", want: "entries of a list" })
}

fn note(of: &mut Object, member: &'static str) -> Result<Note, FindingError> {
    parse_note(&of.string(member)?, member)
}

fn parse_note(text: &str, member: &'static str) -> Result<Note, FindingError> {
    Note::parse(text.as_bytes()).map_err(|cause| FindingError::Note { member, cause })
}

fn time(of: &mut Object, member: &'static str) -> Result<LogTime, FindingError> {
    LogTime::from_millis(of.integer(member)?)
        .ok_or(FindingError::Value { member, want: "milliseconds, at most 2^53 - 1" })
}

fn bytes(of: &mut Object, member: &'static str) -> Result<Vec<u8>, FindingError> {
    encoding::decode_base64(&of.string(member)?)
        .ok_or(FindingError::Value { member, want: "canonical base64" })
}

fn hash(of: &mut Object, member: &'static str) -> Result<Hash, FindingError> {
    Hash::from_base64(&of.string(member)?).ok_or(FindingError::Value { member, want: HASH })
}

fn hashes(of: &mut Object, member: &'static str) -> Result<Vec<Hash>, FindingError> {
    let texts = of.strings(member)?;
    if texts.len() > MAX_PROOF_HASHES {
        return Err(FindingError::Value { member, want: "at most 128 hashes" });
    }
    let hash = |text: &String| Hash::from_base64(text).ok_or(FindingError::Value { member, want: HASH });
    texts.iter().map(hash).collect()
}

fn base64_of(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(|hash| hash.to_base64()).collect()
}

/// Why a text is no finding.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FindingError {
    /// A class that this release does not know.
    #[error(
        "`class` is {0}, not `fork`, `shrink`, `bad-tile`, `bad-entry`, `false-assertion`, `stale` or `forgotten`"
    )]
    Class(String),
    /// Too long, or with control characters.
    #[error("`detail` is one line of at most {MAX_DETAIL_BYTES} bytes")]
    Detail,
    /// Not JSON, or not with these members.
    #[error("finding: {0}")]
    Json(#[from] JsonError),
    /// A vkey is malformed.
    #[error("`vkeys`: {0}")]
    Key(#[from] KeyError),
    /// The witness's vkey is malformed.
    #[error("`witness`: {0}")]
    Witness(#[source] KeyError),
    /// Another media type.
    #[error("`mediaType` is {0}, not {MEDIA_TYPE:?}")]
    MediaType(String),
    /// A key of another name or type, or twice.
    #[error("`vkeys`: {0} is no key of this log, or stands there twice")]
    NotALogKey(String),
    /// A malformed note.
    #[error("`{member}`: {cause}")]
    Note {
        /// The member.
        member: &'static str,
        /// What is wrong with it.
        cause: NoteError,
    },
    /// No name of a log.
    #[error("`origin` is 1 to 255 bytes without spaces, control characters and `+`: {0}")]
    Origin(String),
    /// Not the path of a tile or bundle.
    #[error("{0} is not the path of such a tile")]
    Path(String),
    /// A rule that this release does not know.
    #[error("`rule` is {0}, which is no rule of leaves")]
    Rule(String),
    /// Longer than [`MAX_FINDING_BYTES`].
    #[error("the finding has {0} bytes, more than {MAX_FINDING_BYTES}")]
    TooLong(usize),
    /// A value that is not what its member holds.
    #[error("`{member}` is not {want}")]
    Value {
        /// The member.
        member: &'static str,
        /// What it should be.
        want: &'static str,
    },
    /// None, or too many.
    #[error("a finding has 1 to {MAX_VKEYS} vkeys, not {0}")]
    VkeyCount(usize),
}

/// Twice what a proof in a tree below 2^63 entries has.
const MAX_PROOF_HASHES: usize = 128;

const HASH: &str = "32 bytes in canonical base64";
