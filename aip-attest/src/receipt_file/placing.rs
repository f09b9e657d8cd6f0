//! How receipts get to their places, though other processes do the same at the same time.
//!
//! No receipt is replaced that was not read: whatever a process takes the place of is in its hand afterwards
//! ([`Disk::swap`]), and is put somewhere itself if it is not what was read before. So of two receipts for one place
//! both stay, one at the place and one beside it, also if two machines write to one disk.
//!
//! ```text
//! what is at the place                      the new receipt       what was there
//! nothing                                   at the place
//! an earlier stage of the same              at the place          goes
//! the same, or a later stage                is not written        stays
//! one that is worth no more                 at the place          is kept beside it
//! one that is worth more                    beside the place      stays
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use attestation::receipt::{Receipt, State};
use rayon::prelude::*;
use tlog::Hash;

use super::{MAX_BYTES, Place, SUFFIX, envelope_hash, read_if_there, with_end};
use crate::bounded_file::read_found;
use crate::durable::{self, Disk, Swapped};
use crate::report::{Console, Failure, Result};

/// How many receipts of one claim are kept beside each other. More than one needs a log that gave its entry twice.
const MAX_KEPT: usize = 9;

/// How often other processes may come between. Each time one of them has written something.
const MAX_ROUNDS: usize = 1000;

/// Writes receipts to their places, durably: what is on disk before it is sent can be sent again. Many take the time of
/// a few. Answers where each lies, in the same order.
///
/// Of what must leave its place and holds something that the new one does not, the user is told. What is there and no
/// receipt is somebody's, and an error.
pub(crate) fn write_all(receipts: &[(&Place, &Receipt)], console: &mut Console) -> Result<Vec<Written>> {
    let items = receipts.iter().map(|(place, receipt)| Item::new(place, receipt)).collect();
    let written = put_all(Disk::SYSTEM, items)?;
    tell(&written, console);
    Ok(written)
}

/// Where a receipt lies that was to be written.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    path: PathBuf,
    /// Whether it was written; else all of it was there already.
    is_new: bool,
    displaced: Option<Displaced>,
}

/// A receipt that left its place.
#[derive(Clone, Debug)]
struct Displaced {
    from: PathBuf,
    kept: PathBuf,
    /// Whether it was not kept there before.
    is_new: bool,
}

impl Written {
    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes `refused`, which was written and is worth nothing, away again, and puts back what was there before.
    /// Something else that lies there by now is left alone.
    pub(crate) fn put_back(&self, refused: &Receipt, console: &mut Console) -> Result<()> {
        let disk = Disk::SYSTEM;
        if !self.is_new || !remove(disk, &self.path, refused.to_json().as_bytes())? {
            return Ok(());
        }
        let Some(Displaced { from, kept, is_new }) = &self.displaced else { return Ok(()) };
        let Some((_, bytes)) = read_if_there(kept)? else { return Ok(()) };
        let cannot = |source| Failure::new(format!("cannot write `{}`", from.display())).caused_by(source);
        let staged = durable::stage_all(&[(from, &bytes)])?;
        // In its place first: a crash before the other line leaves it twice.
        let is_back = disk.put_new(&staged[0], from).map_err(cannot)?;
        durable::sync_folders([from.as_path()].into_iter())?;
        if is_back {
            if *is_new {
                remove(disk, kept, &bytes)?;
            }
            console.note(format!("the receipt that was in `{}` is back there", from.display()));
        } else {
            durable::remove(&staged[0]).map_err(cannot)?;
        }
        Ok(())
    }
}

/// A receipt on its way to its place.
struct Item<'r> {
    place: &'r Place,
    receipt: &'r Receipt,
    bytes: Vec<u8>,
    /// Whether it has to leave the place to others, and goes beside it.
    is_kept: bool,
    displaced: Option<Displaced>,
}

/// What is to be done with a receipt, by what was read.
enum Step {
    /// All of it is there.
    There(PathBuf),
    /// Nothing is there.
    Create(PathBuf),
    /// Something is there that is not needed beside the new one.
    Replace { path: PathBuf, read: Vec<u8> },
    /// Something is there that is.
    Displace { path: PathBuf, read: Vec<u8>, old: Box<Receipt> },
}

impl<'r> Item<'r> {
    fn new(place: &'r Place, receipt: &'r Receipt) -> Self {
        Self { place, receipt, bytes: receipt.to_json().into_bytes(), is_kept: false, displaced: None }
    }

    fn kept(place: &'r Place, receipt: &'r Receipt) -> Self {
        Self { is_kept: true, ..Self::new(place, receipt) }
    }

    fn plan(&self) -> Result<Step> {
        if !self.is_kept {
            let path = self.place.path_for(self.receipt);
            match read_if_there(&path)? {
                None => return Ok(Step::Create(path)),
                Some((old, read)) if gives_way(&old, self.receipt, self.place) => {
                    return Ok(self.over(path, read, &old).unwrap_or_else(|(path, read)| Step::Displace {
                        path,
                        read,
                        old: Box::new(old),
                    }));
                }
                Some((old, read)) => {
                    if let Ok(step) = self.over(path, read, &old) {
                        return Ok(step);
                    }
                }
            }
        }
        for number in 1..=MAX_KEPT {
            let path = self.place.kept_as(self.receipt, number);
            match read_if_there(&path)? {
                None => return Ok(Step::Create(path)),
                Some((old, read)) => {
                    if let Ok(step) = self.over(path, read, &old) {
                        return Ok(step);
                    }
                }
            }
        }
        let place = self.place.path();
        Err(Failure::new(format!("there is no name left to keep a receipt beside `{}`", place.display()))
            .hint("move those away that lie there"))
    }

    /// What to do where `old` is, if one of the two holds all of the other.
    fn over(&self, path: PathBuf, read: Vec<u8>, old: &Receipt) -> Result<Step, (PathBuf, Vec<u8>)> {
        match (holds_all_of(self.receipt, old), holds_all_of(old, self.receipt)) {
            (true, _) if read == self.bytes => Ok(Step::There(path)),
            (true, _) => Ok(Step::Replace { path, read }),
            (false, true) => Ok(Step::There(path)),
            (false, false) => Err((path, read)),
        }
    }
}

/// Whether `old` leaves the place to `new`. One about other bytes does, and one that came less far. Of two that came
/// equally far the newer one has it, unless it is another signer's and nobody named the file for it.
fn gives_way(old: &Receipt, new: &Receipt, place: &Place) -> bool {
    let stage = |receipt: &Receipt| match receipt.state() {
        State::Signed => 0,
        State::Pending(_) => 1,
        State::Logged(_) => 2,
    };
    let is_about = |digest: &Hash| new.statement().subjects().iter().any(|subject| subject.sha256 == *digest);
    let is_about_other_bytes = !old.statement().subjects().iter().any(|subject| is_about(&subject.sha256));
    let is_named_or_own = place.file.is_some() || new.did() == old.did();
    is_about_other_bytes || stage(new) > stage(old) || (stage(new) == stage(old) && is_named_or_own)
}

/// Whether nothing is lost when `old` goes and `new` stays: the same statement, at least as far. A fresh proof
/// of the same entry is as good as an older one.
fn holds_all_of(new: &Receipt, old: &Receipt) -> bool {
    let is_same_statement =
        new.envelope() == old.envelope() && new.did() == old.did() && new.public_key() == old.public_key();
    is_same_statement
        && match (old.state(), new.state()) {
            (State::Signed, _) => true,
            (State::Pending(entry), _) => new.pending_entry() == Some(entry),
            (State::Logged(old), State::Logged(new)) => {
                old.entry == new.entry
                    && (old.sigstore_note.is_none() || new.sigstore_note.is_some())
                    && (old.identity.is_empty() || !new.identity.is_empty())
            }
            (State::Logged(_), _) => false,
        }
}

/// Puts every receipt somewhere: at its place or beside it.
fn put_all(disk: Disk, items: Vec<Item<'_>>) -> Result<Vec<Written>> {
    let mut written: Vec<Option<Written>> = items.iter().map(|_| None).collect();
    let mut todo: Vec<(usize, Item<'_>)> = items.into_iter().enumerate().collect();
    // Files whose content is at another place by now. Removed last: a crash before leaves them twice.
    let mut spare = Vec::new();
    for _ in 0..MAX_ROUNDS {
        let steps: Vec<Step> = todo.par_iter().map(|(_, item)| item.plan()).collect::<Result<_>>()?;
        let (mut now, mut later, mut taken) = (Vec::new(), Vec::new(), BTreeSet::new());
        for ((at, item), step) in todo.into_iter().zip(steps) {
            match step {
                Step::There(path) => {
                    written[at] = Some(Written { path, is_new: false, displaced: item.displaced });
                }
                Step::Create(ref path) | Step::Replace { ref path, .. } | Step::Displace { ref path, .. } => {
                    match taken.insert(path.clone()) {
                        true => now.push((at, item, step)),
                        false => later.push((at, item)),
                    }
                }
            }
        }
        keep(disk, &mut now)?;
        let files: Vec<(&Path, &[u8])> =
            now.iter().map(|(_, item, step)| (step.path(), item.bytes.as_slice())).collect();
        let staged = durable::stage_all(&files)?;
        let (mut in_hand, mut failed) = (Vec::new(), None);
        for ((at, item, step), staged) in now.into_iter().zip(staged) {
            let put = match failed {
                None => put(disk, &item, &step, &staged, &mut in_hand),
                Some(_) => Ok(false),
            };
            let is_placed = put.unwrap_or_else(|failure| {
                failed = Some(failure);
                false
            });
            if is_placed {
                let path = step.path().to_path_buf();
                written[at] = Some(Written { path, is_new: true, displaced: item.displaced.clone() });
                superseded(&item, step.path(), &mut in_hand);
            } else {
                // What it is named to be skipped by stays, if it cannot be removed.
                let _ = durable::remove(&staged);
                later.push((at, item));
            }
        }
        let places = written.iter().flatten().filter(|written| written.is_new).map(Written::path);
        durable::sync_folders(places)?;
        // Whatever failed: what was taken unread is put somewhere.
        for hand in in_hand {
            rescue(disk, &hand)?;
            spare.push(hand.file);
        }
        if let Some(failure) = failed {
            return Err(failure);
        }
        todo = later;
        if todo.is_empty() {
            for file in &spare {
                durable::remove(file).map_err(|source| cannot_put(file, source))?;
            }
            return Ok(written.into_iter().map(|written| written.expect("nothing is left to do")).collect());
        }
    }
    let place = todo[0].1.place.path();
    Err(Failure::new(format!("cannot write `{}`: other processes never stop writing it", place.display())))
}

impl Step {
    fn path(&self) -> &Path {
        match self {
            Self::There(path) | Self::Create(path) => path,
            Self::Replace { path, .. } | Self::Displace { path, .. } => path,
        }
    }
}

/// Keeps what is to leave its place, before it does: a crash leaves it twice or once, and never not at all.
fn keep(disk: Disk, now: &mut [(usize, Item<'_>, Step)]) -> Result<()> {
    let leaving = |(_, item, step): &'_ (usize, Item<'_>, Step)| match step {
        Step::Displace { old, .. } => Some((item.place.clone(), Receipt::clone(old))),
        _ => None,
    };
    let leaving: Vec<(Place, Receipt)> = now.iter().filter_map(leaving).collect();
    if leaving.is_empty() {
        return Ok(());
    }
    let items = leaving.iter().map(|(place, old)| Item::kept(place, old)).collect();
    let mut kept = put_all(disk, items)?.into_iter();
    for (_, item, step) in now {
        if let Step::Displace { path, .. } = step {
            let Written { path: kept, is_new, .. } = kept.next().expect("one for each that leaves");
            let is_new = is_new || item.displaced.as_ref().is_some_and(|before| before.is_new);
            item.displaced = Some(Displaced { from: path.clone(), kept, is_new });
        }
    }
    Ok(())
}

/// A file that was taken from its place.
struct InHand<'r> {
    file: PathBuf,
    place: &'r Place,
    /// What it is expected to be, which is kept elsewhere or not needed any more.
    read: Vec<u8>,
}

/// Puts a staged receipt to its place; `false` if another process came between.
fn put<'r>(
    disk: Disk,
    item: &Item<'r>,
    step: &Step,
    staged: &Path,
    in_hand: &mut Vec<InHand<'r>>,
) -> Result<bool> {
    let cannot = |source| cannot_put(step.path(), source);
    let (path, read) = match step {
        Step::There(path) | Step::Create(path) => return disk.put_new(staged, path).map_err(cannot),
        Step::Replace { path, read } | Step::Displace { path, read, .. } => (path, read),
    };
    let mut hold = |file| in_hand.push(InHand { file, place: item.place, read: read.clone() });
    // A name that a receipt which is kept has: after a crash it is found like one.
    let aside = with_end(&item.place.base, &format!(".{}{SUFFIX}", durable::random_id()?));
    let aside = path.with_file_name(aside.file_name().unwrap_or_default());
    match disk.swap(staged, path, &aside).map_err(cannot)? {
        Swapped::Done(file) => {
            hold(file);
            Ok(true)
        }
        Swapped::Overtaken(file) => {
            hold(file);
            Ok(false)
        }
        Swapped::Gone => Ok(false),
    }
}

/// Takes earlier stages of a receipt that has come to lie at `path` from beside it, where another one had put them. What
/// cannot be read or taken there is not needed, and stays.
fn superseded<'r>(item: &Item<'r>, path: &Path, in_hand: &mut Vec<InHand<'r>>) {
    let claim = item.receipt.pending_entry().map(|entry| entry.claim().hash().get());
    let hashes = claim.into_iter().chain([envelope_hash(item.receipt)]).filter(|_| !item.is_kept);
    for hash in hashes {
        for kept in (1..=MAX_KEPT).map(|number| item.place.kept(&hash, number)) {
            let Ok(Some((old, read))) = read_if_there(&kept) else { break };
            // The same as far, and not less: another process may have kept it there just now, to displace it.
            let is_earlier = holds_all_of(item.receipt, &old) && !holds_all_of(&old, item.receipt);
            if kept != path
                && is_earlier
                && let Ok(Some(file)) = durable::take(&kept)
            {
                in_hand.push(InHand { file, place: item.place, read });
            }
        }
    }
}

/// Puts what was taken unread somewhere: back to its place if what is there now is worth less, else beside it.
fn rescue(disk: Disk, hand: &InHand<'_>) -> Result<()> {
    let cannot = |source| Failure::new(format!("cannot read `{}`", hand.file.display())).caused_by(source);
    let bytes = read_found(&hand.file, MAX_BYTES).map_err(cannot)?;
    if bytes == hand.read {
        return Ok(());
    }
    let place = hand.place;
    let taken = Receipt::parse(&bytes).map_err(|error| {
        Failure::new(format!("another program wrote something else to `{}`", place.path().display()))
            .caused_by(error)
            .hint(format!("it is `{}` now", hand.file.display()))
    })?;
    let item = match read_if_there(&place.path_for(&taken))? {
        Some((there, _)) if holds_all_of(&there, &taken) => return Ok(()),
        Some((there, _)) if !gives_way(&there, &taken, place) || gives_way(&taken, &there, place) => {
            Item::kept(place, &taken)
        }
        _ => Item::new(place, &taken),
    };
    put_all(disk, vec![item]).map(drop)
}

/// Takes the file away if it is still what was read.
fn remove(disk: Disk, path: &Path, read: &[u8]) -> Result<bool> {
    let cannot = |source| Failure::new(format!("cannot remove `{}`", path.display())).caused_by(source);
    let Some(taken) = durable::take(path)? else { return Ok(false) };
    if fs::read(&taken).map_err(cannot)? == read {
        return durable::remove(&taken).map(|()| true).map_err(cannot);
    }
    match disk.put_new(&taken, path).map_err(cannot)? {
        true => Ok(false),
        false => Err(Failure::new(format!("other processes write `{}` at this moment", path.display()))
            .hint(format!("what was there is `{}` now", taken.display()))),
    }
}

/// Says which receipts left their places.
fn tell(written: &[Written], console: &mut Console) {
    let is_told = |displaced: &&Displaced| displaced.is_new;
    let mut displaced = written.iter().filter_map(|written| written.displaced.as_ref()).filter(is_told);
    let Some(Displaced { from, kept, .. }) = displaced.next() else { return };
    let (from, kept) = (from.display(), kept.display());
    match displaced.count() {
        0 => console.note(format!("the receipt that was in `{from}` is kept as `{kept}`")),
        more => console.note(format!(
            "{} receipts that were in their places are kept beside them, the one in `{from}` as `{kept}`",
            more + 1
        )),
    }
    let subjects = |path: &Path| {
        let receipt = Receipt::parse(&read_found(path, MAX_BYTES).ok()?).ok()?;
        Some(receipt.statement().subjects().iter().map(|subject| subject.sha256).collect::<Vec<_>>())
    };
    let is_of_other_bytes =
        |displaced: &&Displaced| match (subjects(&displaced.kept), subjects(&displaced.from)) {
            (Some(before), Some(now)) => !before.iter().any(|sha256| now.contains(sha256)),
            _ => false,
        };
    if written
        .iter()
        .filter_map(|written| written.displaced.as_ref())
        .filter(is_told)
        .any(|it| is_of_other_bytes(&it))
    {
        console.hint(format!(
            "receipts of an earlier build are judged like other files where their folder is: keep receipts apart with \
             --receipts DIR, or verify with --exclude '{KEPT}'"
        ));
    }
}

/// The names of receipts that left their places.
const KEPT: &str = "*.????????????????.receipt.json";

fn cannot_put(path: &Path, source: std::io::Error) -> Failure {
    Failure::new(format!("cannot write `{}`", path.display())).caused_by(source)
}

#[cfg(test)]
mod tests;
