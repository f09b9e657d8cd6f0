//! Links to folders that a walk met: what lies behind one is taken where it really lies, or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::choose::{Choice, Item, Purpose};
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

/// Adds the links that are not covered: of one that is, all that would be taken behind it is taken where it really
/// lies. `is_aside` tells what is set aside whatever a pattern says.
pub(super) fn follow(
    links: Vec<Link>,
    choice: &mut Choice,
    purpose: Purpose,
    is_aside: impl Fn(&Path) -> bool,
    disk: &impl Disk,
) {
    if links.is_empty() {
        return;
    }
    let taken = places(&choice.items, disk);
    let mut following = Following { taken, is_aside, disk, room: MAX_ENTRIES };
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
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let real = folders.entry(folder).or_insert_with(|| disk.real(folder).ok());
        if let (Some(real), Some(name)) = (real, path.file_name()) {
            places.insert(real.join(name));
        }
    }
    places
}

struct Following<'a, D, F> {
    taken: BTreeSet<PathBuf>,
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
            if folder.way.contains(&here) {
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
                    Seen::Nothing => {}
                    _ if !at.strict.is_taken => {}
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
