//! One flipped bit in one file of a folder, many times, and a table of what became of them.
//!
//! Used by the tests of the log and of the witness: each says what its outcomes are, and which must never be.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::chance::Chance;

/// One bit of one file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Flip {
    /// The file, below the folder.
    pub file: PathBuf,
    /// Where in it.
    pub byte: usize,
    /// Which bit, 0 to 7.
    pub bit: u8,
}

impl Flip {
    /// `count` flips in the files of `folder`, as many in each, the same ones for the same seed and files.
    pub fn choose(folder: &Path, count: usize, seed: u64) -> Vec<Self> {
        let mut files = Vec::new();
        list(folder, Path::new(""), &mut files);
        files.retain(|(_, length)| *length > 0);
        files.sort();
        assert!(!files.is_empty(), "there is something to flip");
        let mut chance = Chance::new(seed);
        let mut flip = |number: usize| {
            let (file, length) = &files[number % files.len()];
            let random = chance.next();
            Self { file: file.clone(), byte: (random >> 3) as usize % length, bit: (random & 7) as u8 }
        };
        (0..count).map(&mut flip).collect()
    }

    /// Flips the bit in a copy of the folder.
    pub fn apply(&self, folder: &Path) {
        let path = folder.join(&self.file);
        let mut bytes = fs::read(&path).expect("a file to flip");
        bytes[self.byte] ^= 1 << self.bit;
        fs::write(&path, bytes).expect("a file to flip");
    }

    /// What kind of file it is: its path without the numbers that change from run to run.
    pub fn kind(&self) -> String {
        let mut kind = String::new();
        for character in self.file.to_string_lossy().chars() {
            match character {
                '0'..='9' if kind.ends_with('*') => (),
                '0'..='9' => kind.push('*'),
                other => kind.push(other),
            }
        }
        kind
    }
}

/// How many flips are tried: the variable's number, else `few`.
pub fn count(variable: &str, few: usize) -> usize {
    std::env::var(variable).map_or(few, |count| count.parse().expect("a number of flips"))
}

/// What became of the flips, by kind of file.
#[derive(Debug, Default)]
pub struct Table(BTreeMap<String, BTreeMap<&'static str, usize>>);

impl Table {
    /// One flip came to this.
    pub fn add(&mut self, flip: &Flip, outcome: &'static str) {
        *self.0.entry(flip.kind()).or_default().entry(outcome).or_default() += 1;
    }

    /// How many flips came to this.
    pub fn total(&self, outcome: &str) -> usize {
        self.0.values().filter_map(|row| row.get(outcome)).sum()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut outcomes: Vec<&str> = self.0.values().flat_map(|row| row.keys().copied()).collect();
        outcomes.sort_unstable();
        outcomes.dedup();
        writeln!(f, "| file | flips | {} |", outcomes.join(" | "))?;
        writeln!(f, "|---|---|{}", "---|".repeat(outcomes.len()))?;
        for (kind, row) in &self.0 {
            write!(f, "| `{kind}` | {} |", row.values().sum::<usize>())?;
            outcomes.iter().try_for_each(|outcome| write!(f, " {} |", row.get(outcome).unwrap_or(&0)))?;
            writeln!(f)?;
        }
        Ok(())
    }
}

/// Copies a folder with everything in it.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("a kind").is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("a copy");
        }
    }
}

fn list(root: &Path, below: &Path, files: &mut Vec<(PathBuf, usize)>) {
    for entry in fs::read_dir(root.join(below)).expect("a folder") {
        let entry = entry.expect("an entry");
        let path = below.join(entry.file_name());
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() {
            list(root, &path, files);
        } else if kind.is_file() {
            files.push((path, entry.metadata().expect("a length").len() as usize));
        }
    }
}
