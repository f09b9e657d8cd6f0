//! Makes a database anew from what can be read of a damaged one, and keeps the damaged one beside it.
//!
//! Database and record both have what was cosigned. If one is damaged, the other has the trees of the logs. If both are
//! damaged, nobody has them, and the witness is over. Salvage settles no difference between the two: logs about which
//! they differ stay held until the operator accepts the higher one.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use service::durable::sync_folder;
use service::wal;
use tlog::Hash;

use crate::Failure;
use crate::findings::KeptFork;
use crate::opening;
use crate::record::{CosignedRecord, Recorded};
use crate::state::{read_round, row_of_value};
use crate::store::rocks::RocksStore;
use crate::store::{Batch, Column, ROUND_KEY, Store as _, StoreError};

/// What can be read of a database, and what cannot.
#[derive(Debug, Default)]
pub(crate) struct Rescued {
    columns: BTreeMap<Column, BTreeMap<Vec<u8>, Vec<u8>>>,
    round: Option<u64>,
    /// What is damaged, for people.
    pub(crate) damage: Vec<String>,
}

impl Rescued {
    /// Reads all of the database in `db`, damaged or not. Changes nothing.
    pub(crate) fn read(db: &Path) -> Self {
        let mut rescued = Self::default();
        match wal::current(db).and_then(|current| Ok((current, wal::unsound(db)?))) {
            Ok((current, files)) => {
                rescued.damage.extend(current.err());
                let damaged = files.iter().filter(|file| !file.is_torn());
                rescued.damage.extend(damaged.map(ToString::to_string));
            }
            Err(error) => rescued.damage.push(format!("`{}`: {error}", db.display())),
        }
        // Never open it as it is: RocksDB loops for ever on some damage in a record file.
        let mended = match wal::Mended::copy(db) {
            Ok(mended) => mended,
            Err(error) => {
                rescued.damage.push(format!("`{}`: {error}", db.display()));
                return rescued;
            }
        };
        let store = RocksStore::open_read_only(mended.path());
        let store = match store.or_else(|_| RocksStore::open_damaged(mended.path())) {
            Ok(store) => store,
            Err(error) => {
                rescued.damage.push(format!("{error}: nothing of the database can be read"));
                return rescued;
            }
        };
        rescued.round = read_round(&store).unwrap_or_else(|error| {
            rescued.damage.push(error.to_string());
            None
        });
        for column in Column::ALL.into_iter().filter(|column| *column != Column::Round) {
            let (mut rows, error) = store.rescue(column);
            let name = column.name();
            rescued.damage.extend(error.map(|error| format!("the column `{name}`: {error}")));
            if column == Column::Cosigned {
                rows.retain(|key, value| match row_of_value(key, value) {
                    Ok(_) => true,
                    Err(error) => {
                        rescued.damage.push(error.to_string());
                        false
                    }
                });
            }
            rescued.columns.insert(column, rows);
        }
        rescued
    }

    /// Damage in the values that [`read`](Self::read) does not parse: checkpoints and contradictions.
    pub(crate) fn unreadable_values(&self) -> Vec<String> {
        let of = |column| self.columns.get(&column).into_iter().flatten();
        let is_bad = |value: &[u8]| tlog::note::Note::parse(value).is_err();
        let checkpoints = of(Column::History).filter(|(_, value)| is_bad(value)).map(|(key, _)| {
            let log = key.get(..32).and_then(Hash::from_slice).unwrap_or(Hash::of(key));
            format!("a checkpoint that is remembered of the log with the origin hash {log}")
        });
        let is_bad = |value: &[u8]| serde_json::from_slice::<KeptFork>(value).is_err();
        let contradictions = of(Column::Contradiction).filter(|(_, value)| is_bad(value));
        checkpoints
            .chain(contradictions.map(|_| "a contradiction that is kept cannot be read".to_owned()))
            .collect()
    }

    /// How many logs' rows there are.
    fn logs(&self) -> usize {
        self.columns.get(&Column::Cosigned).map_or(0, BTreeMap::len)
    }

    /// Writes it into a new database, durably.
    fn write(&self, path: &Path, round: u64) -> Result<(), StoreError> {
        let store = RocksStore::create(path)?;
        for (column, rows) in &self.columns {
            for (key, value) in rows {
                let mut batch = Batch::default();
                batch.put(*column, key.clone(), value.clone());
                store.write(&batch)?;
            }
        }
        let mut batch = Batch::default();
        batch.put(Column::Round, ROUND_KEY, round.to_string());
        store.write(&batch)?;
        store.flush()
    }
}

/// Makes the database and the record of a directory, which this process holds, openable again. Answers what was done, a
/// line each.
pub(crate) fn salvage(dir: &Path, record_path: &Path) -> Result<Vec<String>, Failure> {
    let cannot = |e: io::Error| Failure::new(format!("cannot salvage `{}`", dir.display())).caused_by(e);
    let (db, new) = (dir.join("db"), dir.join("db.new"));
    if !db.exists() && new.exists() {
        // A salvage broke off between its two renames: what it wrote is whole.
        fs::rename(&new, &db).map_err(cannot)?;
    }
    let rescued = Rescued::read(&db);
    let recorded = Recorded::read(record_path).map_err(cannot)?;
    let name = opening::whose(dir, recorded.as_ref())
        .map_err(|e| Failure::new(format!("cannot salvage `{}`", dir.display())).caused_by(e))?;
    let of_store = rescued.round.unwrap_or(0);
    let is_store_whole = rescued.damage.is_empty()
        && recorded.as_ref().is_none_or(|recorded| of_store >= recorded.round + u64::from(recorded.is_torn));
    let is_record_whole = recorded.as_ref().is_some_and(|recorded| recorded.damage.is_none());
    if !is_store_whole && !is_record_whole {
        let mut failure = Failure::new("the database and the record are both damaged or missing");
        for damage in &rescued.damage {
            failure = failure.because(damage.clone());
        }
        let damage = recorded.and_then(|recorded| recorded.damage).unwrap_or("it is missing".to_owned());
        return Err(failure.because(format!("`{}`: {damage}", record_path.display())).hint(
            "nobody knows what this witness has cosigned: it is over, begin a new one under another name",
        ));
    }
    let mut said: Vec<String> = rescued.damage.iter().map(|damage| format!("damaged: {damage}")).collect();
    let recorded = recorded.unwrap_or_default();
    said.extend(
        recorded.damage.iter().map(|damage| format!("damaged: `{}`: {damage}", record_path.display())),
    );
    let round = of_store.max(recorded.round) + 1;
    // The record first. After a crash here the database is behind the record, so it is refused and salvaged again. In the
    // other order the database would be ahead, and would be taken for sound.
    CosignedRecord::replace(record_path, &name, round, recorded.rows).map_err(cannot)?;
    if new.exists() {
        fs::remove_dir_all(&new).map_err(cannot)?;
    }
    rescued
        .write(&new, round)
        .map_err(|e| Failure::new(format!("cannot write `{}`", new.display())).caused_by(e))?;
    let kept = free_name(dir);
    if db.exists() {
        fs::rename(&db, &kept).map_err(cannot)?;
        said.push(format!("kept: what was there is in `{}`", kept.display()));
    }
    fs::rename(&new, &db).and_then(|()| sync_folder(&db)).map_err(cannot)?;
    said.push(format!("salvaged: {} logs from the database", rescued.logs()));
    Ok(said)
}

fn free_name(dir: &Path) -> PathBuf {
    let name = |number: u32| dir.join(format!("db.damaged.{number}"));
    (1..).map(name).find(|path| !path.exists()).expect("there are more names than salvages")
}
