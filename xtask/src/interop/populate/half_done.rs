//! What can't come to its end: a reassignment to a broker that is gone, and a deletion on it.

use super::calls::Tools;
use super::made::MadeTopic;
use super::{broker_ids, run, run_all};
use crate::cli::Failure;
use crate::interop::lab::failed;
use crate::interop::{Lab, ZkModeCluster};

/// Bytes a second, so that the reassignment lasts until its target is stopped.
const THROTTLE: u64 = 1;

/// The same: what the target must fetch, in records of so many bytes.
const RECORDS: u32 = 8_000;
const RECORD_SIZE: u32 = 1_000;

/// What is under way, for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HalfDone {
    /// The topic that is being moved.
    pub moving: String,
    /// Where its partition was.
    pub source: Vec<i32>,
    /// Where it is to be.
    pub target: Vec<i32>,
    /// The topic that is being deleted.
    pub doomed: String,
    /// The broker that was stopped.
    pub stopped: i32,
}

/// Starts a reassignment to the last broker, stops it, and deletes a topic of which it has replicas.
///
/// # Errors
/// There are fewer than three brokers, a tool fails, or the broker does not stop.
pub async fn leave_half_done(lab: &Lab, cluster: &mut ZkModeCluster) -> Result<HalfDone, Failure> {
    let ids = broker_ids(cluster);
    let [first, second, .., last] = *ids else {
        return Err(Failure::failed(
            "something is left half done in a cluster of three brokers or more, not in this one",
        ));
    };
    lab.note(format_args!("leaving a reassignment and a deletion that wait for broker {last}"));
    let topic = |name: &str, replicas: &[Vec<i32>]| MadeTopic {
        name: name.to_owned(),
        replicas: replicas.to_vec(),
        created_with: replicas.len(),
        configs: [("retention.ms".to_owned(), "3600000".to_owned())].into(),
    };
    let half_done = HalfDone {
        moving: "moving".to_owned(),
        source: vec![first, second],
        target: vec![second, last],
        doomed: "doomed".to_owned(),
        stopped: last,
    };
    let kafka = cluster.kafka().clone();
    let tools = Tools::of(cluster);
    let moving = topic(&half_done.moving, std::slice::from_ref(&half_done.source));
    let doomed = topic(&half_done.doomed, &[vec![first, last], vec![last, second]]);
    run_all(&kafka, vec![tools.create_topic(&moving), tools.create_topic(&doomed)]).await?;
    run(&kafka, &tools.perf(&half_done.moving, RECORDS, RECORD_SIZE)).await?;

    let plan = cluster.folder().join("reassignment.json");
    std::fs::write(&plan, reassignment(&half_done))
        .map_err(|error| Failure::failed(format!("can't write {}", plan.display())).because(&error))?;
    run(&kafka, &tools.reassign(&plan, THROTTLE)).await?;
    if let Some(broker) = cluster.brokers.last_mut() {
        broker.stop().await.map_err(failed("a broker does not stop"))?;
    }
    run(&kafka, &tools.delete_topic(&half_done.doomed)).await?;
    Ok(half_done)
}

fn reassignment(half_done: &HalfDone) -> String {
    let partition = serde_json::json!({ "topic": half_done.moving, "partition": 0, "replicas": half_done.target });
    serde_json::json!({ "version": 1, "partitions": [partition] }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reassignment_is_written_as_the_tool_reads_it() {
        let half_done =
            HalfDone { moving: "m".into(), source: vec![0, 1], target: vec![1, 2], doomed: "d".into(), stopped: 2 };
        let expected =
            serde_json::json!({"version": 1, "partitions": [{"topic": "m", "partition": 0, "replicas": [1, 2]}]});
        assert_eq!(serde_json::from_str::<serde_json::Value>(&reassignment(&half_done)).unwrap(), expected);
    }
}
