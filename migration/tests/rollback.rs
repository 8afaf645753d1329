//! A rollback over scripted ports: what is kept before what is written, and what an answer that never came means.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test, as the tests do")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use metadata_core::contract::MemLog;
use metadata_core::error::{Error, ErrorKind, Outcome, Result};
use metadata_core::give_back::{
    ControllerRole, GiveBackPlan, GiveBackStage, Governance, OwnLog, PartitionsSeen, RaisedEpoch, RollbackKeeper,
};
use metadata_core::id::{NodeId, ZkControllerEpoch, ZkVersion};
use metadata_core::image::MetadataImage;
use migration::rollback::{RollbackOptions, RollbackPorts, roll_back};

/// What becomes of one attempt to write.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Answer {
    Done,
    /// Not applied: something moved.
    Moved,
    /// Not applied: not allowed.
    Refused,
    /// No answer, and it happened.
    LostDone,
    /// No answer, and it did not happen.
    LostUndone,
}

/// Both ports, and what was asked of them in order.
#[derive(Default)]
struct Script {
    told: Mutex<Vec<&'static str>>,
    answers: Mutex<Vec<Answer>>,
    given_back: Mutex<bool>,
    elected_after: Mutex<u32>,
    /// So many plans find ZooKeeper ahead of the log, while this log grows, or does not.
    ahead: Mutex<u32>,
    growing: Option<MemLog>,
}

impl Script {
    fn new(answers: &[Answer], elected_after: u32) -> Arc<Self> {
        let answers = Mutex::new(answers.iter().rev().copied().collect());
        Arc::new(Self { answers, elected_after: Mutex::new(elected_after), ..Self::default() })
    }

    fn tell(&self, what: &'static str) {
        self.told.lock().unwrap().push(what);
    }

    fn told(&self) -> Vec<&'static str> {
        self.told.lock().unwrap().clone()
    }
}

#[async_trait]
impl ControllerRole for Script {
    async fn plan_give_back(&self, _: &OwnLog, _: &MetadataImage) -> Result<GiveBackPlan> {
        {
            let mut ahead = self.ahead.lock().unwrap();
            if *ahead > 0 {
                *ahead -= 1;
                if let Some(log) = &self.growing {
                    log.elect(NodeId(3000));
                }
                return Err(Error::not_applied(ErrorKind::Corrupt, "the marker is ahead of the log"));
            }
        }
        let held = !*self.given_back.lock().unwrap();
        let raise =
            RaisedEpoch { present: ZkControllerEpoch(7), zk_version: ZkVersion(9), raised: ZkControllerEpoch(8) };
        Ok(GiveBackPlan {
            stage: if held { GiveBackStage::RoleHeld } else { GiveBackStage::NothingTaken },
            raise: held.then_some(raise),
            epoch_zk_version: Some(ZkVersion(9)),
            deleted: Vec::new(),
            epoch_entry: None,
            unfinished: None,
            position: None,
            partitions: PartitionsSeen::default(),
        })
    }

    async fn give_back(&self, _: &GiveBackPlan) -> Result<()> {
        self.tell("write");
        let answer = self.answers.lock().unwrap().pop().unwrap_or(Answer::Done);
        if matches!(answer, Answer::Done | Answer::LostDone) {
            *self.given_back.lock().unwrap() = true;
        }
        match answer {
            Answer::Done => Ok(()),
            Answer::Moved => Err(Error::not_applied(ErrorKind::Conflict, "moved")),
            Answer::Refused => Err(Error::not_applied(ErrorKind::Unauthorized, "no")),
            Answer::LostDone | Answer::LostUndone => Err(Error::unknown(ErrorKind::Unavailable, "no answer")),
        }
    }

    async fn governance(&self) -> Result<Governance> {
        let mut left = self.elected_after.lock().unwrap();
        let elected = *left == 0;
        *left = left.saturating_sub(1);
        Ok(Governance {
            controller: elected.then_some((NodeId(2), None)),
            epoch: Some(ZkControllerEpoch(9)),
            marker: false,
            brokers: vec![NodeId(1), NodeId(2)],
        })
    }

    async fn partition_epoch_max(&self) -> Result<Option<ZkControllerEpoch>> {
        Ok(Some(ZkControllerEpoch(7)))
    }
}

#[async_trait]
impl RollbackKeeper for Script {
    async fn is_sealed(&self) -> Result<bool> {
        Ok(self.told().contains(&"seal"))
    }

    async fn begin(&self, _: &GiveBackPlan) -> Result<()> {
        self.tell("begin");
        Ok(())
    }

    async fn abandon(&self) -> Result<()> {
        self.tell("abandon");
        Ok(())
    }

    async fn seal(&self, _: &GiveBackPlan) -> Result<()> {
        self.tell("seal");
        Ok(())
    }
}

fn ports(script: &Arc<Script>) -> RollbackPorts {
    let (role, keeper) = (Arc::<Script>::clone(script), Arc::<Script>::clone(script));
    RollbackPorts { log: Arc::new(MemLog::new()), role, keeper }
}

fn options() -> RollbackOptions {
    RollbackOptions { election_max: Duration::from_secs(5), ..RollbackOptions::default() }
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_kept_before_the_write_and_the_log_is_sealed_after_it() {
    for (answers, expected) in [
        (&[Answer::Done][..], &["begin", "write", "seal"][..]),
        (&[Answer::Moved, Answer::Done], &["begin", "write", "begin", "write", "seal"]),
        (&[Answer::LostUndone, Answer::Done], &["begin", "write", "begin", "write", "seal"]),
        // It happened: nothing is written twice.
        (&[Answer::LostDone], &["begin", "write", "seal"]),
        // What moved may have been our own write, whose answer was lost.
        (
            &[Answer::LostUndone, Answer::Moved, Answer::LostDone],
            &["begin", "write", "begin", "write", "begin", "write", "seal"],
        ),
    ] {
        let script = Script::new(answers, 3);
        let done = roll_back(&ports(&script), None, options()).await.unwrap();
        assert_eq!(script.told(), expected, "{answers:?}");
        assert_eq!((done.wrote, done.elected, done.plan.stage), (true, Some(NodeId(2)), GiveBackStage::RoleHeld));
        assert_eq!(done.troubles(), [] as [String; 0]);
        // A second run finds nothing to write.
        let again = roll_back(&ports(&script), None, options()).await.unwrap();
        assert_eq!((again.wrote, again.plan.stage), (false, GiveBackStage::NothingTaken), "{answers:?}");
        assert_eq!(script.told().iter().filter(|it| **it == "write").count(), answers.len());
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_certainly_not_written_is_abandoned_and_what_may_have_been_is_not() {
    let refused = Script::new(&[Answer::Refused], 0);
    let error = roll_back(&ports(&refused), None, options()).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unauthorized, Outcome::NotApplied));
    assert_eq!(refused.told(), ["begin", "write", "abandon"]);

    let silent = Script::new(&[Answer::LostUndone; 20], 0);
    let error = roll_back(&ports(&silent), None, options()).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    assert!(!silent.told().contains(&"abandon") && !silent.told().contains(&"seal"), "{:?}", silent.told());

    let moving = Script::new(&[Answer::Moved; 20], 0);
    let error = roll_back(&ports(&moving), None, options()).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::NotApplied), "{error}");
    assert_eq!(moving.told().last(), Some(&"abandon"));
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_elects_nobody_is_told_with_the_time_since() {
    let script = Script::new(&[Answer::Done], u32::MAX);
    let done = roll_back(&ports(&script), None, options()).await.unwrap();
    assert_eq!(done.elected, None);
    let troubles = done.troubles();
    assert!(troubles[0].contains("5.0 s") && troubles[0].contains("2 are alive"), "{troubles:?}");
    assert!(script.told().contains(&"seal"), "it is given back all the same");
}

/// While a migration runs, ZooKeeper gets records that came after the look at the log.
#[tokio::test(start_paused = true)]
async fn a_log_that_grew_during_the_look_is_not_one_that_is_behind() {
    let log = MemLog::new();
    for (growing, ahead, done) in [(true, 3, true), (false, 1, false), (true, 1_000, false)] {
        let script = Script { growing: growing.then(|| log.clone()), ahead: Mutex::new(ahead), ..Script::default() };
        let script = Arc::new(script);
        let ports = RollbackPorts { log: Arc::new(log.clone()), ..ports(&script) };
        let result = roll_back(&ports, None, options()).await;
        assert_eq!(
            result.as_ref().map(|it| it.wrote).map_err(Error::kind),
            if done { Ok(true) } else { Err(ErrorKind::Corrupt) }
        );
        assert_eq!(script.told().contains(&"write"), done, "growing {growing}, {ahead} times ahead");
    }
}
