//! Links to folders that a walk met: what lies behind one is taken where it really lies, or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::choice::{Choice, Item, Purpose, Reason};
use super::disk::{Disk, Kind, Seen};
use super::pattern::{At, State};
use crate::report::Failure;

/// A link to a folder that a walk met.
pub(super) struct Link {
    pub(super) path: PathBuf,
    /// What would be taken behind it.
    pub(super) at: At,
    /// How many items came before it.
    pub(super) place: usize,
}

/// What a walk met of links, and what helps to judge them.
#[derive(Default)]
pub(super) struct Met {
    pub(super) links: Vec<Link>,
    /// Folders of which all was taken, and whether a leading dot hid a name.
    pub(super) whole: Vec<(PathBuf, bool)>,
}

/// Adds the links that are not covered: of one that is, all that would be taken behind it is taken where it really
/// lies. `is_aside` tells what is set aside whatever a pattern says.
pub(super) fn follow(
    met: Met,
    choice: &mut Choice,
    purpose: Purpose,
    is_aside: impl Fn(&Path) -> bool,
    disk: &impl Disk,
) {
    let Met { links, whole } = met;
    if links.is_empty() {
        return;
    }
    let is_cut = |folder: &Path| {
        let below =
            choice.aside.range(folder.to_path_buf()..).take_while(|(path, _)| path.starts_with(folder));
        below.into_iter().any(|(_, reason)| *reason != Reason::Hidden)
    };
    let whole = whole.into_iter().filter(|(folder, _)| !is_cut(folder));
    let whole = whole.filter_map(|(folder, hides_dots)| Some((disk.real(here(&folder)).ok()?, hides_dots)));
    let (taken, whole) = (places(&choice.items, disk), whole.collect());
    let mut following = Following { taken, whole, is_aside, disk, room: MAX_ENTRIES };
    let mut told = BTreeSet::new();
    // From behind, so that the places of those before stay right.
    for link in links.into_iter().rev() {
        if following.is_covered(&link) || !told.insert(link.path.clone()) {
            continue;
        }
        match purpose {
            Purpose::Judge => {
                let failure = not_covered(&link.path);
                choice.items.insert(link.place, Item::Odd { path: link.path, failure });
            }
            Purpose::Sign => choice.links.insert(0, link.path),
        }
    }
}

/// Where the files that are taken really lie. A link to a file is one of them itself.
fn places(items: &[Item], disk: &impl Disk) -> BTreeSet<PathBuf> {
    let mut folders: BTreeMap<&Path, Option<PathBuf>> = BTreeMap::new();
    let mut places = BTreeSet::new();
    for item in items {
        let Item::File { path, .. } = item else { continue };
        let folder = here(path.parent().unwrap_or(Path::new("")));
        let real = folders.entry(folder).or_insert_with(|| disk.real(folder).ok());
        if let (Some(real), Some(name)) = (real, path.file_name()) {
            places.insert(real.join(name));
        }
    }
    places
}

/// The working folder has an empty path.
pub(super) fn here(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

struct Following<'a, D, F> {
    taken: BTreeSet<PathBuf>,
    /// Folders of which all is taken: their own links are judged where they lie.
    whole: BTreeSet<(PathBuf, bool)>,
    is_aside: F,
    disk: &'a D,
    /// How many entries are still looked at.
    room: usize,
}

/// A folder behind a link.
struct Behind {
    /// Where it really lies.
    real: PathBuf,
    /// Where it is seen.
    path: PathBuf,
    at: At,
    /// The real folders that led here, and what was to be taken in them: a link that leads back adds nothing.
    way: Vec<(PathBuf, State)>,
}

impl<D: Disk, F: Fn(&Path) -> bool> Following<'_, D, F> {
    fn is_covered(&mut self, link: &Link) -> bool {
        let Ok(real) = self.disk.real(&link.path) else { return false };
        let mut todo = vec![Behind { real, path: link.path.clone(), at: link.at.clone(), way: Vec::new() }];
        while let Some(folder) = todo.pop() {
            let here = (folder.real.clone(), folder.at.strict.clone());
            let is_whole = || self.whole.contains(&(folder.real.clone(), folder.at.hides_dots()));
            if folder.way.contains(&here) || (folder.at.takes_all() && is_whole()) {
                continue;
            }
            let way = [folder.way, vec![here]].concat();
            let Ok(entries) = self.disk.list(&folder.real) else { return false };
            for (entry, kind) in entries {
                let Some(room) = self.room.checked_sub(1) else { return false };
                self.room = room;
                let (at, path, place) =
                    (folder.at.step(&entry), folder.path.join(&entry), folder.real.join(&entry));
                if !at.strict.is_alive() || (self.is_aside)(&path) {
                    continue;
                }
                let seen = if kind == Kind::Folder { Seen::Folder } else { self.disk.look(&place) };
                match seen {
                    Seen::Folder => {
                        let Ok(real) = self.disk.real(&place) else { return false };
                        todo.push(Behind { real, path, at, way: way.clone() });
                    }
                    Seen::File | Seen::Special | Seen::BrokenLink if !at.strict.is_taken => {}
                    _ if self.taken.contains(&place) => {}
                    _ => return false,
                }
            }
        }
        true
    }
}

fn not_covered(path: &Path) -> Failure {
    Failure::new(format!("`{}` is a link to a folder", path.display()))
        .because("what lies behind it is taken where it really lies, and not all of it is named")
        .hint(format!(
            "name the folder that it leads to as well; or leave the link out: --exclude '{}'",
            path.display()
        ))
}

/// As many entries behind links are looked at. What has more is not covered.
const MAX_ENTRIES: usize = 100_000;
