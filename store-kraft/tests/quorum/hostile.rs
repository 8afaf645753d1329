//! What comes in that should not.

use metadata_core::error::{ErrorKind, Outcome};
use metadata_core::id::NodeId;
use metadata_core::log::MetadataLog as _;
use metadata_core::metadata_version::MetadataVersion;
use store_kraft::KraftLog;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::quorum::*;

/// A message in its envelope.
fn framed(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u32).to_be_bytes();
    let crc = crc32c::crc32c_append(crc32c::crc32c(&length), message).to_be_bytes();
    [&length[..], &crc, message].concat()
}

async fn read_message(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut header = [0; 8];
    stream.read_exact(&mut header).await.ok()?;
    let mut message = vec![0; u32::from_be_bytes(header[..4].try_into().unwrap()) as usize];
    stream.read_exact(&mut message).await.ok()?;
    Some(message)
}

/// The first message of controller `from` of the quorum to controller `to`, overheard.
async fn overheard(quorum: &mut Quorum, from: NodeId, to: NodeId) -> Vec<u8> {
    quorum.stop(to).await;
    let listener = TcpListener::bind(quorum.port_of(to)).await.unwrap();
    let hello = async {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            // What was sent on a connection that was open before is none.
            if let Some(message) = read_message(&mut stream).await
                && message.starts_with(&[1, 8, 1])
                && message.windows(3).any(|it| it == zigzag(from))
            {
                break message;
            }
        }
    };
    let hello = tokio::time::timeout(PATIENCE, hello).await.unwrap();
    drop(listener);
    quorum.start(to).await;
    hello
}

/// A node id as it is in a message.
fn zigzag(id: NodeId) -> [u8; 3] {
    let [low, high] = (u16::try_from(id.0).unwrap() * 2).to_le_bytes();
    [0xfb, low, high]
}

/// What is sent is not answered, or with what it should be.
async fn send(port: std::net::SocketAddr, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(port).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    tokio::time::timeout(PATIENCE, read_message(&mut stream)).await.expect("it is closed or answered")
}

fn text(message: &[u8]) -> String {
    String::from_utf8_lossy(message).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message_or_of_nobody_is_refused_and_the_quorum_goes_on() {
    let mut quorum = Quorum::of_three().await;
    let (leader, _) = quorum.leader().await;
    let own = leader.options().node_id;
    drop(leader);
    let others: Vec<_> = quorum.logs().map(|(id, _)| id).filter(|id| *id != own).collect();
    let hello = overheard(&mut quorum, others[0], others[1]).await;
    let port = quorum.port_of(others[1]);
    assert!(
        send(port, &framed(&hello)).await.is_some_and(|it| it[..4] == [1, 9, 1, 0]),
        "as it was overheard, it is taken"
    );

    let changed = |at: usize, to: u8| {
        let mut changed = hello.clone();
        changed[at] = to;
        changed
    };
    let mut other_cluster = hello.clone();
    let cluster = hello.windows(4).position(|it| it == b"ZcQr").unwrap();
    other_cluster[cluster] = b'Y';
    // Versions stand in front; whom it looks for at the end.
    let refused = [
        (
            "a newer version alone",
            {
                let mut it = changed(3, 2);
                it[4] = 9;
                it
            },
            "there 2 to 9",
        ),
        ("another cluster", other_cluster, "cluster"),
        (
            "our own id",
            {
                let mut it = hello.clone();
                let at = find(&it, &zigzag(others[0]));
                it[at..at + 3].copy_from_slice(&zigzag(others[1]));
                it
            },
            "have the id",
        ),
        (
            "no member",
            {
                let mut it = hello.clone();
                let at = find(&it, &zigzag(others[0]));
                it[at..at + 3].copy_from_slice(&zigzag(NodeId(3009)));
                it
            },
            "no member",
        ),
        (
            "somebody else is looked for",
            {
                let mut it = hello.clone();
                let at = it.len() - 3;
                it[at..].copy_from_slice(&zigzag(NodeId(3009)));
                it
            },
            "not controller 3009",
        ),
    ];
    for (name, hello, reason) in refused {
        let answer = send(port, &framed(&hello)).await.unwrap_or_else(|| panic!("{name}: no answer"));
        assert_eq!(&answer[..4], [1, 9, 1, 1], "{name}");
        assert!(text(&answer).contains(reason), "{name}: {}", text(&answer));
    }
    let damaged = {
        let mut it = framed(&hello);
        it[20] ^= 1;
        it
    };
    for (name, bytes) in [
        ("garbage", (0..70_000u32).map(|it| (it * 7919 % 251) as u8).collect::<Vec<_>>()),
        ("a length beyond all limits", [&[0xff; 4][..], &[0; 60]].concat()),
        ("a hello beyond its limit", framed(&vec![1; 5000])),
        ("zeros", vec![0; 64]),
        ("another kind of message", framed(&[1, 10, 1, 3])),
        ("a flipped bit", damaged),
        ("garbage behind a hello that was overheard", [framed(&hello), framed(&[9; 100])].concat()),
    ] {
        let answer = send(port, &bytes).await;
        assert!(answer.is_none() || name.contains("behind"), "{name}: {answer:?}");
    }
    // Half a message, and then nothing.
    let mut half = TcpStream::connect(port).await.unwrap();
    half.write_all(&framed(&hello)[..30]).await.unwrap();

    let (leader, epoch) = quorum.leader().await;
    let end = make_topics(&leader, epoch, 0..10).await;
    quorum.reaches(end).await;
    drop(leader);
    quorum.stop_all().await;
    let bytes = quorum.bytes();
    let longest = bytes.values().max_by_key(|it| it.len()).unwrap();
    assert!(bytes.values().all(|it| it[..] == longest[..it.len()]));
}

fn find(bytes: &[u8], part: &[u8]) -> usize {
    bytes.windows(part.len()).position(|it| it == part).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_connections_that_say_nothing_hinder_nobody_who_is_there() {
    let mut quorum = Quorum::of_three().await;
    let (leader, epoch) = quorum.leader().await;
    let mut flood = Vec::new();
    for (id, _) in quorum.logs() {
        for _ in 0..100 {
            flood.push(TcpStream::connect(quorum.port_of(id)).await.unwrap());
        }
    }
    let end = make_topics(&leader, epoch, 0..20).await;
    quorum.reaches(end).await;
    drop((flood, leader));
    // Who comes now is let in.
    let id = NodeId(3000);
    quorum.stop(id).await;
    let (leader, epoch) = quorum.leader().await;
    let end = make_topics(&leader, epoch, 20..25).await;
    drop(leader);
    quorum.start(id).await;
    quorum.reaches(end).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_of_another_cluster_never_gets_in() {
    let quorum = Quorum::of_three().await;
    let (leader, epoch) = quorum.leader().await;
    let voter = quorum.logs().map(|(id, _)| id).find(|id| *id != leader.options().node_id).unwrap();
    // It is told the same voters, and has the id of one of them.
    let dir = tempfile::tempdir().unwrap();
    KraftLog::format(dir.path(), voter, "another-cluster-00000A", MetadataVersion::V3_9_IV0).unwrap();
    let mut options = quorum.options(voter);
    options.data_dir = dir.path().to_owned();
    options.cluster_id = "another-cluster-00000A".to_owned();
    options.peers.as_mut().unwrap().listen = "127.0.0.1:0".to_owned();
    let stranger = KraftLog::open(options).await.unwrap();
    make_topics(&leader, epoch, 0..10).await;
    until("it would have stood for election by now", || stranger.quorum().epoch.0 > 2).await;
    assert_eq!(stranger.quorum().leader, None);
    assert_eq!(stranger.extent().end_offset.0, 0);
    assert_eq!(leader.quorum().epoch, epoch, "nobody was disturbed by it");
    stranger.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_data_directory_that_runs_beside_it_is_refused() {
    let mut quorum = Quorum::of_three().await;
    let (leader, epoch) = quorum.leader().await;
    let end = make_topics(&leader, epoch, 0..5).await;
    quorum.reaches(end).await;
    let id = quorum.logs().map(|(id, _)| id).find(|id| *id != leader.options().node_id).unwrap();
    quorum.stop(id).await;
    let dir = tempfile::tempdir().unwrap();
    copy_all(&quorum.dir_of(id), dir.path());
    quorum.start(id).await;
    let end = make_topics(&leader, epoch, 5..10).await;
    quorum.reaches(end).await;

    let mut options = quorum.options(id);
    options.data_dir = dir.path().to_owned();
    options.peers.as_mut().unwrap().listen = "127.0.0.1:0".to_owned();
    let copy = KraftLog::open(options).await.unwrap();
    until("it stands for election", || copy.quorum().epoch > epoch).await;
    make_topics(&leader, epoch, 10..20).await;
    assert_eq!(leader.quorum().epoch, epoch, "nobody was disturbed by it");
    assert!(!copy.quorum().has_majority() || copy.quorum().leader.is_none());
    copy.shutdown().await.unwrap();
}

fn copy_all(from: &std::path::Path, to: &std::path::Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy_all(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_log_stops_one_voter_who_says_how_to_build_it_anew_and_the_others_go_on() {
    let mut quorum = Quorum::of_three().await;
    let (leader, epoch) = quorum.leader().await;
    let end = make_topics(&leader, epoch, 0..20).await;
    quorum.reaches(end).await;
    let id = quorum.logs().map(|(id, _)| id).find(|id| *id != leader.options().node_id).unwrap();
    quorum.stop(id).await;
    let raft = quorum.dir_of(id).join("raft");
    let segment = raft.join("00000000000000000000.entries");
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let error = KraftLog::open(quorum.options(id)).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Corrupt, Outcome::NotApplied));
    for part in [".entries", "byte", &format!("remove controller {id}"), "add it"] {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
    make_topics(&leader, epoch, 20..25).await;

    // As it says.
    leader.remove_voter(id).await.unwrap();
    std::fs::rename(quorum.dir_of(id), quorum.dir_of(id).with_extension("aside")).unwrap();
    quorum.format(id);
    quorum.joins = Some(id);
    let again = quorum.start(id).await;
    leader.add_voter(id, &quorum.port_of(id).to_string()).await.unwrap();
    let end = make_topics(&leader, epoch, 25..30).await;
    reaches(&again, end).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_are_told_different_voters_form_no_quorum() {
    let mut quorum = Quorum::of(&[3000, 3001, 3002, 3003], &[3000, 3001, 3002]).await;
    quorum.start(NodeId(3000)).await;
    let mut options = quorum.options(NodeId(3001));
    let voters = &mut options.peers.as_mut().unwrap().voters;
    let (_, address) = voters.pop_last().unwrap();
    voters.insert(NodeId(3003), address);
    let confused = KraftLog::open(options).await.unwrap();
    until("both stand for election again and again", || {
        [quorum.log(NodeId(3000)).as_ref(), &confused].iter().all(|log| log.quorum().epoch.0 > 2)
    })
    .await;
    for log in [quorum.log(NodeId(3000)).as_ref(), &confused] {
        assert!(!log.quorum().has_majority());
        assert_eq!(log.extent().end_offset.0, 0);
    }
    confused.shutdown().await.unwrap();
    // Told right, it is taken.
    std::fs::remove_dir_all(quorum.dir_of(NodeId(3001))).unwrap();
    quorum.format(NodeId(3001));
    quorum.start(NodeId(3001)).await;
    quorum.leader().await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_an_error_and_leaves_the_directory_alone() {
    let quorum = Quorum::of(&[3000, 3001], &[3000, 3001]).await;
    let taken = TcpListener::bind(quorum.port_of(NodeId(3000))).await.unwrap();
    let error = KraftLog::open(quorum.options(NodeId(3000))).await.unwrap_err();
    assert!(error.to_string().contains("can't listen"), "{error}");
    drop(taken);
    KraftLog::open(quorum.options(NodeId(3000))).await.unwrap().shutdown().await.unwrap();
}
