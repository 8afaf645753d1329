//! The copy's reading side: every family in Kafka's order, one topic's records after the other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use metadata_core::error::{Error, ErrorKind, Result};
use metadata_core::id::{NodeId, PartitionId, TopicId};
use metadata_core::store::RecordSink;

use super::{BulkReader, READS_PER_REQUEST, ZnodesFuture};
use crate::import::{Imported, Importer, TopicZnodes, is_prefixed, is_resource_type};
use crate::znode::acl::{PatternType, ResourceType};
use crate::znode::topic::TopicZnode;
use crate::znode::{Znode, path};

/// Topics read together, without their partitions.
const TOPICS_PER_CHUNK: usize = 100;

/// Partitions read together, or those of one topic if it has more. Times [`CHUNKS_IN_FLIGHT`] they are what memory holds
/// of the tree at a time.
const PARTITIONS_PER_CHUNK: usize = 5000;

/// Chunks under way: while one is turned into records the next ones are being read.
const CHUNKS_IN_FLIGHT: usize = 3;

/// Reads everything and hands it on as records.
///
/// # Errors
/// `Invalid` with every problem found, after all was read; nothing of what the sink has taken may be used then.
pub(crate) async fn load(
    reader: &BulkReader,
    mut importer: Importer,
    sink: &mut (dyn RecordSink + Send),
) -> Result<Imported> {
    topics(reader, &mut importer, sink).await?;
    children(reader, path::BROKER_CONFIGS, &mut importer, sink).await?;
    let with_clients = users(reader, &mut importer, sink).await?;
    children(reader, path::CLIENTS, &mut importer, sink).await?;
    user_clients(reader, &with_clients, &mut importer, sink).await?;
    children(reader, path::IPS, &mut importer, sink).await?;
    nodes(reader, vec![path::PRODUCER_IDS.to_owned()], &mut importer, sink).await?;
    acl_directories(reader, path::EXTENDED_ACLS, is_prefixed, &mut importer).await?;
    for pattern in PatternType::ALL {
        acl_directories(reader, path::acl_root(pattern), is_resource_type, &mut importer).await?;
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
    topic_id: Option<TopicId>,
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
    let mut read: VecDeque<TopicRead> = VecDeque::new();
    let mut chunks: VecDeque<Chunk> = VecDeque::new();
    loop {
        while reading.len() < CHUNKS_IN_FLIGHT
            && let Some(names) = unread.next()
        {
            let paths = names.iter().flat_map(|name| [path::topic(name), path::topic_config(name)]).collect();
            reading.push_back((names, reader.nodes(paths)));
        }
        while chunks.len() < CHUNKS_IN_FLIGHT {
            if read.is_empty() {
                let Some((names, nodes)) = reading.pop_front() else { break };
                read.extend(topics_read(names, nodes.await?));
            }
            chunks.push_back(with_states(reader, &mut read));
        }
        let Some(chunk) = chunks.pop_front() else { return Ok(()) };
        import_chunk(reader, chunk, importer, sink).await?;
    }
}

fn topics_read(names: &[String], nodes: Vec<Option<Znode>>) -> Vec<TopicRead> {
    let mut nodes = nodes.into_iter();
    let topics = names.iter().map(|name| {
        let (topic, config) = (nodes.next().flatten(), nodes.next().flatten());
        // A topic that can't be decoded is the importer's to report.
        let decoded = topic.as_ref().and_then(decode).unwrap_or_default();
        let partitions = decoded.partitions.into_keys().collect();
        TopicRead { name: name.clone(), topic, topic_id: decoded.topic_id, config, partitions }
    });
    topics.collect()
}

fn decode(znode: &Znode) -> Option<TopicZnode> {
    TopicZnode::decode(znode.content()?).ok()
}

/// Asks for the states of the partitions of as many topics as make a chunk.
fn with_states(reader: &BulkReader, read: &mut VecDeque<TopicRead>) -> Chunk {
    let mut paths = Vec::new();
    let mut topics = Vec::new();
    while let Some(topic) =
        read.pop_front_if(|topic| paths.is_empty() || paths.len() + topic.partitions.len() <= PARTITIONS_PER_CHUNK)
    {
        paths.extend(topic.partitions.iter().map(|partition| path::partition_state(&topic.name, *partition)));
        topics.push(topic);
    }
    Chunk { topics, states: reader.nodes(paths) }
}

/// What became of a topic some of whose partitions have no state.
enum Fate {
    /// It is there: the states that came meanwhile, and its partitions that are there without one.
    Alive { made: BTreeMap<PartitionId, Znode>, stateless: BTreeSet<PartitionId> },
    /// It is being deleted.
    BeingDeleted,
    /// It was deleted.
    Deleted,
    /// It was deleted and made anew.
    MadeAnew,
}

async fn import_chunk(
    reader: &BulkReader,
    chunk: Chunk,
    importer: &mut Importer,
    sink: &mut (dyn RecordSink + Send),
) -> Result<()> {
    let mut found = chunk.states.await?.into_iter();
    for topic in chunk.topics {
        let mut states: BTreeMap<PartitionId, Znode> = topic
            .partitions
            .iter()
            .zip(found.by_ref())
            .filter_map(|(partition, state)| Some((*partition, state?)))
            .collect();
        let stateless = match fate(reader, &topic, &states).await? {
            Fate::Alive { made, stateless } => {
                states.extend(made);
                stateless
            }
            Fate::BeingDeleted => {
                importer.pending_deletion(&topic.name);
                continue;
            }
            Fate::Deleted => {
                importer.deleted_meanwhile(&topic.name);
                continue;
            }
            Fate::MadeAnew => {
                importer.made_anew_meanwhile(&topic.name);
                continue;
            }
        };
        let TopicRead { name, topic, config, .. } = &topic;
        let (topic, config) = (topic.as_ref(), config.as_ref());
        let records = importer.topic(&TopicZnodes { name, topic, config, states: &states, stateless: &stateless });
        sink.accept(records).await?;
    }
    Ok(())
}

/// Looks at a topic once more if some of its partitions have no state: a deletion in the meantime takes the states first,
/// and a creation makes them last. The topic itself is read last, so that what was read before it was part of what is
/// there.
async fn fate(reader: &BulkReader, topic: &TopicRead, states: &BTreeMap<PartitionId, Znode>) -> Result<Fate> {
    let without: Vec<PartitionId> =
        topic.partitions.iter().copied().filter(|partition| !states.contains_key(partition)).collect();
    if without.is_empty() {
        return Ok(Fate::Alive { made: BTreeMap::new(), stateless: BTreeSet::new() });
    }
    let name = &topic.name;
    let paths = without.iter().flat_map(|id| [path::partition(name, *id), path::partition_state(name, *id)]);
    let paths = paths.chain([path::pending_deletion(name), path::topic(name)]).collect();
    let mut found = reader.nodes(paths).await?.into_iter();
    let (mut made, mut stateless) = (BTreeMap::new(), BTreeSet::new());
    for partition in without {
        match (found.next().flatten(), found.next().flatten()) {
            (_, Some(state)) => drop(made.insert(partition, state)),
            (Some(_), None) => drop(stateless.insert(partition)),
            (None, None) => {}
        }
    }
    let (pending, again) = (found.next().flatten(), found.next().flatten());
    Ok(match again {
        None => Fate::Deleted,
        Some(_) if pending.is_some() => Fate::BeingDeleted,
        Some(again) if decode(&again).is_some_and(|again| again.topic_id != topic.topic_id) => Fate::MadeAnew,
        Some(_) => Fate::Alive { made, stateless },
    })
}

/// Imports users. Returns where the client ids of those that have some stand.
async fn users(
    reader: &BulkReader,
    importer: &mut Importer,
    sink: &mut (dyn RecordSink + Send),
) -> Result<Vec<String>> {
    let mut with_clients = Vec::new();
    let names = reader.children(path::USERS).await?;
    for chunk in names.chunks(READS_PER_REQUEST) {
        let paths = chunk.iter().map(|name| path::user(name)).collect();
        for (name, node) in chunk.iter().zip(reader.nodes_with_children(paths).await?) {
            let Some((znode, has_children)) = node else { continue };
            if has_children {
                with_clients.push(path::user_clients(name));
            }
            accept(&path::user(name), &znode, importer, sink).await?;
        }
    }
    Ok(with_clients)
}

/// Imports the client ids of many users: asks for the names of many at once.
async fn user_clients(
    reader: &BulkReader,
    parents: &[String],
    importer: &mut Importer,
    sink: &mut (dyn RecordSink + Send),
) -> Result<()> {
    for chunk in parents.chunks(READS_PER_REQUEST) {
        let names = reader.children_of(chunk.to_vec()).await?;
        let paths = chunk
            .iter()
            .zip(names)
            .flat_map(|(parent, names)| names.into_iter().flatten().map(move |name| format!("{parent}/{name}")));
        let paths: Vec<String> = paths.collect();
        for chunk in paths.chunks(READS_PER_REQUEST) {
            nodes(reader, chunk.to_vec(), importer, sink).await?;
        }
    }
    Ok(())
}

async fn acl_directories(
    reader: &BulkReader,
    parent: &str,
    known: fn(&str) -> bool,
    importer: &mut Importer,
) -> Result<()> {
    let names = reader.children(parent).await?;
    importer.acl_directories(parent, names.iter().map(String::as_str), known);
    Ok(())
}

async fn children(
    reader: &BulkReader,
    parent: &str,
    importer: &mut Importer,
    sink: &mut (dyn RecordSink + Send),
) -> Result<()> {
    let names = reader.children(parent).await?;
    for chunk in names.chunks(READS_PER_REQUEST) {
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
        accept(path, &znode, importer, sink).await?;
    }
    Ok(())
}

async fn accept(path: &str, znode: &Znode, importer: &mut Importer, sink: &mut (dyn RecordSink + Send)) -> Result<()> {
    let records = importer.znode(path, znode);
    if records.is_empty() { Ok(()) } else { sink.accept(records).await }
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
    for chunk in names.chunks(READS_PER_REQUEST) {
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
