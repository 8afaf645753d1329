//! `rollback.json` in a data directory: that a rollback has begun or is done, and a copy of what it took from ZooKeeper.
//!
//! While the file is there no controller starts in the directory: a forgotten one must not claim again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use metadata_core::error::{Error, ErrorKind, Result};
use metadata_core::give_back::{GiveBackPlan, KeptEntry, RollbackKeeper};
use serde::{Deserialize, Serialize};

use crate::cli::Failure;

/// The file's name.
pub const ROLLBACK_FILE: &str = "rollback.json";

/// Its version. A file of another version seals all the same.
const VERSION: u32 = 1;

/// A rollback of a data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    version: u32,
    /// When it began, in milliseconds since 1970.
    pub begun_ms: i64,
    /// When it was done; none while it is not known to be.
    pub done_ms: Option<i64>,
    /// The stage that it was begun in.
    pub stage: String,
    /// What `/controller_epoch` was set to.
    pub raised_to: Option<i32>,
    /// What went, of each attempt.
    pub kept: Vec<Kept>,
}

/// What was there before an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// When it was read, in milliseconds since 1970.
    pub at_ms: i64,
    /// The znodes, `/controller_epoch` among them, which is set and stays.
    pub znodes: Vec<KeptZnode>,
}

/// A znode as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptZnode {
    path: String,
    /// Its data, where that is text; Kafka's are.
    text: Option<String>,
    /// Its data otherwise, in base64.
    base64: Option<String>,
    version: i32,
    czxid: i64,
    mzxid: i64,
    ctime_ms: i64,
    mtime_ms: i64,
    ephemeral_owner: i64,
}

impl From<&KeptEntry> for KeptZnode {
    fn from(entry: &KeptEntry) -> Self {
        let text = String::from_utf8(entry.data.clone()).ok();
        let base64 = text.is_none().then(|| STANDARD.encode(&entry.data));
        Self {
            path: entry.path.clone(),
            text,
            base64,
            version: entry.zk_version.0,
            czxid: entry.czxid,
            mzxid: entry.mzxid,
            ctime_ms: entry.ctime_ms,
            mtime_ms: entry.mtime_ms,
            ephemeral_owner: entry.ephemeral_owner,
        }
    }
}

impl Seal {
    /// The seal of a directory; `None` without one.
    ///
    /// # Errors
    /// It is there and can't be read: nobody may take the directory for an unsealed one.
    pub fn read(data_dir: &Path) -> Result<Option<Self>, Failure> {
        let file = data_dir.join(ROLLBACK_FILE);
        let unreadable = |failure: Failure| {
            failure.next(
                "a rollback of this data directory was begun: run `rollback` again after the file is restored, or use a new data \
                 directory",
            )
        };
        match fs::read(&file) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(unreadable(Failure::failed(format!("{} can't be read", file.display())).because(&error))),
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| {
                unreadable(Failure::damaged(format!("{} is damaged", file.display())).because(&error))
            }),
        }
    }

    /// Whether the rollback is known to be done.
    pub fn is_done(&self) -> bool {
        self.done_ms.is_some()
    }

    /// In a sentence.
    pub fn says(&self) -> String {
        match self.done_ms {
            Some(done) => format!("rolled back at {}; use a fresh --data-dir for a new migration", utc(done)),
            None => format!(
                "a rollback was begun at {} and is not known to be done; run `rollback` again, it does the rest",
                utc(self.begun_ms)
            ),
        }
    }

    /// Refuses a start in the directory. One of several controllers (`of_several`) may start where a rollback was only begun: the
    /// quorum's log says what came of it, and keeps every controller from acting meanwhile. The rest can't be done without a
    /// majority.
    ///
    /// # Errors
    /// Blocked, when it is sealed.
    pub fn check(data_dir: &Path, of_several: bool) -> Result<(), Failure> {
        let Some(seal) = Self::read(data_dir)? else { return Ok(()) };
        if of_several && !seal.is_done() {
            return Ok(());
        }
        let path = data_dir.display();
        let next = if seal.is_done() {
            "for a new migration use a fresh --data-dir; this one may be kept for its log, or removed".to_owned()
        } else {
            format!("`cargo xtask rollback --data-dir {path}` finishes it")
        };
        Err(Failure::blocked(format!("no controller may start in {path}")).why(seal.says()).next(next))
    }

    /// Writes it durably: after a crash the file is the old one or this one.
    fn write(&self, data_dir: &Path) -> io::Result<()> {
        let (file, fresh) = (data_dir.join(ROLLBACK_FILE), data_dir.join(format!("{ROLLBACK_FILE}.new")));
        let text = serde_json::to_vec_pretty(self)?;
        let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        out.write_all(&text)?;
        out.sync_all()?;
        fs::rename(&fresh, &file)?;
        File::open(data_dir)?.sync_all()
    }
}

/// Milliseconds since 1970 as a date, as people read it.
fn utc(ms: i64) -> String {
    let seconds = ms.div_euclid(1000);
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days since 1 March of year 0, in cycles of 400 years of 146 097 days: a leap day is then the last of its year.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

/// Keeps a rollback in the directory that this process holds.
#[derive(Debug, Clone)]
pub(super) struct SealKeeper {
    data_dir: PathBuf,
}

impl SealKeeper {
    /// Of this directory.
    pub(super) fn new(data_dir: &Path) -> Self {
        Self { data_dir: data_dir.to_owned() }
    }

    fn present(&self) -> Result<Option<Seal>> {
        Seal::read(&self.data_dir).map_err(|failure| Error::not_applied(ErrorKind::Corrupt, failure.to_string()))
    }

    fn write(&self, seal: &Seal) -> Result<()> {
        seal.write(&self.data_dir).map_err(|error| self.unwritten(error))
    }

    fn unwritten(&self, error: io::Error) -> Error {
        let file = self.data_dir.join(ROLLBACK_FILE);
        Error::not_applied(
            ErrorKind::Unavailable,
            format!(
                "{} can't be written; free space, or mend the permissions, then run the rollback again",
                file.display()
            ),
        )
        .with_source(error)
    }

    /// Seals the directory of a controller whose quorum another one has rolled back. What an attempt of its own kept stays. It
    /// blocks on the disk.
    pub(super) fn seal_after_another(&self) -> Result<()> {
        let now = now_ms();
        let fresh = || Seal {
            version: VERSION,
            begun_ms: now,
            done_ms: None,
            stage: "BY_ANOTHER_CONTROLLER".to_owned(),
            raised_to: None,
            kept: Vec::new(),
        };
        let seal = self.present()?.unwrap_or_else(fresh);
        if seal.is_done() { Ok(()) } else { self.write(&Seal { done_ms: Some(now), ..seal }) }
    }

    fn seal_of(&self, plan: &GiveBackPlan) -> Result<Seal> {
        let fresh = || Seal {
            version: VERSION,
            begun_ms: now_ms(),
            done_ms: None,
            stage: plan.stage.name().to_owned(),
            raised_to: None,
            kept: Vec::new(),
        };
        Ok(self.present()?.unwrap_or_else(fresh))
    }
}

#[async_trait]
impl RollbackKeeper for SealKeeper {
    async fn is_sealed(&self) -> Result<bool> {
        Ok(self.present()?.is_some_and(|seal| seal.is_done()))
    }

    async fn begin(&self, plan: &GiveBackPlan) -> Result<()> {
        let mut seal = self.seal_of(plan)?;
        let znodes = plan.epoch_entry.iter().chain(&plan.deleted).map(KeptZnode::from).collect();
        seal.kept.push(Kept { at_ms: now_ms(), znodes });
        seal.raised_to = plan.raise.map(|raise| raise.raised.0);
        seal.done_ms = None;
        self.write(&seal)
    }

    async fn abandon(&self) -> Result<()> {
        let removed = fs::remove_file(self.data_dir.join(ROLLBACK_FILE));
        let removed = removed.and_then(|()| File::open(&self.data_dir)?.sync_all());
        removed
            .or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(self.unwritten(error)) })
    }

    async fn seal(&self, plan: &GiveBackPlan) -> Result<()> {
        let seal = self.seal_of(plan)?;
        if seal.is_done() {
            return Ok(());
        }
        self.write(&Seal { done_ms: Some(now_ms()), ..seal })
    }
}

#[cfg(test)]
mod tests {
    use metadata_core::give_back::{GiveBackStage, PartitionsSeen, RaisedEpoch};
    use metadata_core::id::{ZkControllerEpoch, ZkVersion};

    use super::*;
    use crate::cli::Exit;

    fn plan(marker: &[u8]) -> GiveBackPlan {
        let entry = KeptEntry {
            path: "/migration".into(),
            data: marker.to_vec(),
            zk_version: ZkVersion(33),
            czxid: 5,
            mzxid: 6,
            ctime_ms: 7,
            mtime_ms: 8,
            ephemeral_owner: 0,
        };
        let raise =
            RaisedEpoch { present: ZkControllerEpoch(7), zk_version: ZkVersion(9), raised: ZkControllerEpoch(8) };
        GiveBackPlan {
            stage: GiveBackStage::Migrating,
            raise: Some(raise),
            epoch_zk_version: Some(ZkVersion(9)),
            deleted: vec![entry],
            epoch_entry: None,
            unfinished: None,
            position: None,
            partitions: PartitionsSeen::default(),
        }
    }

    #[tokio::test]
    async fn what_goes_is_kept_before_and_the_directory_is_closed_from_then_on() {
        let dir = tempfile::tempdir().unwrap();
        let keeper = SealKeeper::new(dir.path());
        Seal::check(dir.path(), false).unwrap();
        keeper.begin(&plan(b"{\"a\":1}")).await.unwrap();
        assert!(!keeper.is_sealed().await.unwrap());
        let begun = Seal::check(dir.path(), false).unwrap_err();
        Seal::check(dir.path(), true).unwrap();
        assert_eq!(begun.exit(), Exit::Blocked);
        assert!(begun.to_string().contains("run `rollback` again"), "{begun}");
        // An attempt whose answer was lost comes again.
        keeper.begin(&plan(&[0xff, 0])).await.unwrap();
        keeper.seal(&plan(b"")).await.unwrap();
        assert!(keeper.is_sealed().await.unwrap());
        let seal = Seal::read(dir.path()).unwrap().unwrap();
        assert_eq!((seal.raised_to, seal.kept.len()), (Some(8), 2));
        let (first, second) = (&seal.kept[0].znodes[0], &seal.kept[1].znodes[0]);
        assert_eq!((first.text.as_deref(), first.version, first.mtime_ms), (Some("{\"a\":1}"), 33, 8));
        assert_eq!((second.text.as_deref(), second.base64.as_deref()), (None, Some("/wA=")));
        let done = Seal::check(dir.path(), false).unwrap_err();
        Seal::check(dir.path(), true).unwrap_err();
        assert!(done.to_string().contains("use a fresh --data-dir"), "{done}");
        // Sealed is sealed: the first time stays.
        keeper.seal(&plan(b"")).await.unwrap();
        assert_eq!(Seal::read(dir.path()).unwrap().unwrap(), seal);
    }

    #[tokio::test]
    async fn a_rollback_that_certainly_wrote_nothing_leaves_the_directory_open() {
        let dir = tempfile::tempdir().unwrap();
        let keeper = SealKeeper::new(dir.path());
        keeper.begin(&plan(b"{}")).await.unwrap();
        keeper.abandon().await.unwrap();
        keeper.abandon().await.unwrap();
        Seal::check(dir.path(), false).unwrap();
    }

    #[test]
    fn a_damaged_seal_seals_too() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(ROLLBACK_FILE), "{\"version\":1,").unwrap();
        let refused = Seal::check(dir.path(), false).unwrap_err();
        assert_eq!(refused.exit(), Exit::Damaged);
        assert!(refused.lines().join("\n").contains("next: "));
    }

    #[test]
    fn times_are_told_as_dates() {
        for (ms, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400_000, "2000-02-29 00:00:00 UTC"),
            (1_709_251_199_999, "2024-02-29 23:59:59 UTC"),
            (4_107_542_400_000, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(utc(ms), text);
        }
    }
}
