//! The copy's reading side: every family in Kafka's order, one topic's records after the other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use metadata_core::error::{Error, ErrorKind, Result};
use metadata_core::id::{NodeId, PartitionId};
use metadata_core::store::RecordSink;

use super::{BulkReader, ZnodesFuture};
use crate::import::{ImportContext, Imported, Importer, TopicZnodes};
use crate::znode::acl::{PatternType, ResourceType};
use crate::znode::topic::TopicZnode;
use crate::znode::{Znode, path};

/// Topics read together. With their partitions they are what memory holds of the tree at a time, times
/// [`CHUNKS_IN_FLIGHT`].
const TOPICS_PER_CHUNK: usize = 100;

/// Chunks under way: while one is turned into records the next ones are being read.
const CHUNKS_IN_FLIGHT: usize = 3;

/// Reads everything and hands it on as records.
///
/// # Errors
/// `Invalid` with every problem found, after all was read; nothing of what the sink has taken may be used then.
pub(crate) async fn load(
    reader: &BulkReader,
    context: ImportContext,
    sink: &mut (dyn RecordSink + Send),
) -> Result<Imported> {
    let mut importer = Importer::new(context);
    topics(reader, &mut importer, sink).await?;
    for parent in [path::BROKER_CONFIGS, path::USERS, path::CLIENTS] {
        children(reader, parent, &mut importer, sink).await?;
    }
    for user in reader.children(path::USERS).await? {
        children(reader, &path::user_clients(&user), &mut importer, sink).await?;
    }
    children(reader, path::IPS, &mut importer, sink).await?;
    nodes(reader, vec![path::PRODUCER_IDS.to_owned()], &mut importer, sink).await?;
    for pattern in PatternType::ALL {
        for resource in ResourceType::ALL {
            children(reader, &path::acl_directory(pattern, resource), &mut importer, sink).await?;
        }
    }
    children(reader, path::TOKENS, &mut importer, sink).await?;
    importer.finish().map_err(|problems| {
        let mut lines: Vec<_> = problems.problems.iter().map(|problem| format!("  {problem}")).collect();
        let unlisted = problems.problem_count - lines.len() as u64;
        if unlisted > 0 {
            lines.push(format!("  and {unlisted} more"));
        }
        Error::not_applied(
            ErrorKind::Invalid,
            format!(
                "ZooKeeper holds {} things that can't be copied; repair them, then run again:\n{}",
                problems.problem_count,
                lines.join("\n")
            ),
        )
    })
}

/// A chunk of topics whose own znodes were read, and whose partitions are being read.
struct Chunk {
    topics: Vec<TopicRead>,
    states: ZnodesFuture,
}

/// A topic's own znodes, and the partitions that it names.
struct TopicRead {
    name: String,
    topic: Option<Znode>,
    config: Option<Znode>,
    partitions: Vec<PartitionId>,
}

async fn topics(reader: &BulkReader, importer: &mut Importer, sink: &mut (dyn RecordSink + Send)) -> Result<()> {
    let pending: BTreeSet<String> = reader.children(path::PENDING_DELETIONS).await?.into_iter().collect();
    let (leaving, names): (Vec<_>, Vec<_>) =
        reader.children(path::TOPICS).await?.into_iter().partition(|name| pending.contains(name));
    for name in leaving {
        importer.pending_deletion(&name);
    }
    let mut unread = names.chunks(TOPICS_PER_CHUNK);
    let mut reading: VecDeque<(&[String], ZnodesFuture)> = VecDeque::new();
    let mut chunks: VecDeque<Chunk> = VecDeque::new();
    loop {
        while reading.len() < CHUNKS_IN_FLIGHT
            && let Some(names) = unread.next()
        {
            let paths = names.iter().flat_map(|name| [path::topic(name), path::topic_config(name)]).collect();
            reading.push_back((names, reader.nodes(paths)));
        }
        while chunks.len() < CHUNKS_IN_FLIGHT
            && let Some((names, nodes)) = reading.pop_front()
        {
            chunks.push_back(with_states(reader, names, nodes.await?));
        }
        let Some(chunk) = chunks.pop_front() else { return Ok(()) };
        import_chunk(chunk, importer, sink).await?;
    }
}

/// Asks for the states of the partitions that the topics name.
fn with_states(reader: &BulkReader, names: &[String], nodes: Vec<Option<Znode>>) -> Chunk {
    let mut nodes = nodes.into_iter();
    let mut paths = Vec::new();
    let topics = names
        .iter()
        .map(|name| {
            let (topic, config) = (nodes.next().flatten(), nodes.next().flatten());
            // A topic that can't be decoded is the importer's to report.
            let decoded = topic.as_ref().and_then(|znode| TopicZnode::decode(znode.content()?).ok());
            let partitions: Vec<_> = decoded.map(|topic| topic.partitions.into_keys().collect()).unwrap_or_default();
            paths.extend(partitions.iter().map(|partition| path::partition_state(name, *partition)));
            TopicRead { name: name.clone(), topic, config, partitions }
        })
        .collect();
    Chunk { topics, states: reader.nodes(paths) }
}

async fn import_chunk(chunk: Chunk, importer: &mut Importer, sink: &mut (dyn RecordSink + Send)) -> Result<()> {
    let mut states = chunk.states.await?.into_iter();
    for TopicRead { name, topic, config, partitions } in chunk.topics {
        let states: BTreeMap<PartitionId, Znode> = partitions
            .into_iter()
            .zip(states.by_ref())
            .filter_map(|(partition, state)| Some((partition, state?)))
            .collect();
        let znodes = TopicZnodes { name: &name, topic: topic.as_ref(), config: config.as_ref(), states: &states };
        let records = importer.topic(&znodes);
        sink.accept(records).await?;
    }
    Ok(())
}

async fn children(
    reader: &BulkReader,
    parent: &str,
    importer: &mut Importer,
    sink: &mut (dyn RecordSink + Send),
) -> Result<()> {
    let names = reader.children(parent).await?;
    for chunk in names.chunks(super::READS_PER_REQUEST) {
        let paths = chunk.iter().map(|name| format!("{parent}/{name}")).collect();
        nodes(reader, paths, importer, sink).await?;
    }
    Ok(())
}

async fn nodes(
    reader: &BulkReader,
    paths: Vec<String>,
    importer: &mut Importer,
    sink: &mut (dyn RecordSink + Send),
) -> Result<()> {
    for (path, znode) in paths.iter().zip(reader.nodes(paths.clone()).await?) {
        let Some(znode) = znode else { continue };
        let records = importer.znode(path, &znode);
        if !records.is_empty() {
            sink.accept(records).await?;
        }
    }
    Ok(())
}

/// Counts the replicas of each broker in the assignments of all topics that are not being deleted.
///
/// # Errors
/// `Invalid` names the first topic that can't be understood.
pub(crate) async fn assigned_replicas(reader: &BulkReader) -> Result<BTreeMap<NodeId, u64>> {
    let pending: BTreeSet<String> = reader.children(path::PENDING_DELETIONS).await?.into_iter().collect();
    let mut names = reader.children(path::TOPICS).await?;
    names.retain(|name| !pending.contains(name));
    let mut counts = BTreeMap::new();
    for chunk in names.chunks(super::READS_PER_REQUEST) {
        let paths: Vec<_> = chunk.iter().map(|name| path::topic(name)).collect();
        for (path, znode) in paths.iter().zip(reader.nodes(paths.clone()).await?) {
            let Some(znode) = znode else { continue };
            let topic = TopicZnode::decode(znode.content().unwrap_or_default())
                .map_err(|reason| crate::error::malformed(reason.at(path)))?;
            for replica in topic.partitions.values().flat_map(|assignment| &assignment.replicas) {
                *counts.entry(*replica).or_default() += 1;
            }
        }
    }
    Ok(counts)
}
