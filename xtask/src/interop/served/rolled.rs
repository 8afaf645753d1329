//! The whole way: brokers are rolled into KRaft mode one by one while our controller writes to both sides, the migration is
//! finalized, ZooKeeper is stopped for good, and the cluster lives on.

use super::super::lab::{failed, port};
use super::super::rollback::asked::Asked;
use super::super::zk_brokers::ours::Ours;
use super::super::{Findings, Lab};
use super::{CONTROLLER, Step, Steps, cluster, compared, prepare, session_ended};
use crate::cli::Failure;
use crate::kafka::Properties;

/// What a broker's settings become when it leaves ZooKeeper, as Kafka's documentation has it.
fn in_kraft_mode(properties: &mut Properties, id: i32) {
    for key in [
        "zookeeper.connect",
        "zookeeper.session.timeout.ms",
        "zookeeper.metadata.migration.enable",
        "inter.broker.protocol.version",
        "password.encoder.secret",
        "broker.id",
        "broker.id.generation.enable",
    ] {
        properties.remove(key);
    }
    properties.set("process.roles", "broker");
    properties.set("node.id", id);
    properties.set("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer");
}

pub(super) async fn run(lab: &Lab, findings: &mut Findings) -> Result<Vec<Step>, Failure> {
    let listener = port()?;
    let mut cluster = cluster(lab, "rolled", listener).await?;
    let mut steps = Steps { asked: Asked::new(&cluster), findings, done: Vec::new() };
    prepare(&mut steps).await?;
    let ours = Ours::serving(&cluster, "ours-rolled", CONTROLLER, listener).await?;
    steps.settle("taken over", None, &["orders"]).await?;

    let rolls = ["the first broker in KRaft mode", "the second", "the last"];
    for (id, step) in (0..).zip(rolls) {
        lab.note(format_args!("broker {id} is rolled into KRaft mode"));
        let Some(broker) = usize::try_from(id).ok().and_then(|at| cluster.brokers.get_mut(at)) else { break };
        broker.stop().await.map_err(failed("a broker does not stop"))?;
        session_ended(&cluster, id).await?;
        let Some(broker) = usize::try_from(id).ok().and_then(|at| cluster.brokers.get_mut(at)) else { break };
        in_kraft_mode(broker.properties_mut(), id);
        broker.restart().await.map_err(failed("a broker does not start in KRaft mode"))?;
        steps.settle(step, None, &["orders"]).await?;
    }
    let create = "topic create in-kraft-mode --partitions 3 --replication-factor 3";
    ours.change(&create.split(' ').map(str::to_owned).collect::<Vec<_>>()).await?;
    steps.settle("a topic for brokers in KRaft mode", None, &["in-kraft-mode"]).await?;
    compared(&ours, &mut steps).await?;

    lab.note("the migration is finalized, and ZooKeeper is stopped for good");
    ours.finalize().await?;
    cluster.zookeeper.kill();
    steps.settle("without ZooKeeper", None, &["orders", "events"]).await?;
    lab.note("a broker is killed");
    if let Some(broker) = cluster.brokers.get_mut(1) {
        broker.kill();
    }
    steps.settle("a broker killed, without ZooKeeper", Some(1), &["orders"]).await?;
    if let Some(broker) = cluster.brokers.get_mut(1) {
        broker.restart().await.map_err(failed("a broker that was killed does not start again"))?;
    }
    steps.settle("that broker back, without ZooKeeper", None, &["orders"]).await?;
    Ok(steps.done)
}
