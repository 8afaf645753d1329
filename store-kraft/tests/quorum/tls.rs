//! TLS between controllers, with certificates made for the occasion.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use metadata_core::error::ErrorKind;
use metadata_core::id::NodeId;
use store_kraft::{KraftLog, PeerSecurity, PeerTls};

use crate::quorum::*;

fn openssl(dir: &Path, line: &str) {
    let made = Command::new("openssl").args(line.split(' ')).current_dir(dir).output().expect("openssl can be run");
    assert!(made.status.success(), "{line}: {}", String::from_utf8_lossy(&made.stderr));
}

/// Two authorities, and a certificate for the loopback of each.
fn certificates() -> &'static Path {
    static MADE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let made = tempfile::tempdir().unwrap();
        let dir = made.path();
        std::fs::write(dir.join("extensions"), "subjectAltName=IP:127.0.0.1\n").unwrap();
        for authority in ["ours", "stranger"] {
            openssl(
                dir,
                &format!(
                    "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={authority} -keyout {authority}-ca.key -out \
                     {authority}-ca.pem"
                ),
            );
            openssl(
                dir,
                &format!(
                    "req -newkey rsa:2048 -nodes -subj /CN=controller -keyout {authority}.key -out {authority}.csr"
                ),
            );
            openssl(
                dir,
                &format!(
                    "x509 -req -in {authority}.csr -CA {authority}-ca.pem -CAkey {authority}-ca.key -CAcreateserial -days 2 \
                     -extfile extensions -out {authority}.pem"
                ),
            );
        }
        made
    });
    made.path()
}

fn files(of: &str) -> PeerTls {
    let at = |name: String| -> PathBuf { certificates().join(name) };
    PeerTls {
        authorities: at(format!("{of}-ca.pem")),
        certificate: at(format!("{of}.pem")),
        key: at(format!("{of}.key")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quorum_runs_over_tls_and_whoever_shows_no_certificate_of_ours_stays_out() {
    let mut quorum = Quorum::of(&[3000, 3001, 3002], &[3000, 3001, 3002]).await;
    quorum.tune = |options| options.peers.as_mut().unwrap().security = PeerSecurity::Tls(files("ours"));
    for id in ids(&[3000, 3001]) {
        quorum.start(id).await;
    }
    let (leader, epoch) = quorum.leader().await;
    make_topics(&leader, epoch, 0..5).await;

    let third = NodeId(3002);
    let intruders: [fn(&mut store_kraft::KraftLogOptions); 2] = [
        |options| options.peers.as_mut().unwrap().security = PeerSecurity::Tls(files("stranger")),
        |options| options.peers.as_mut().unwrap().security = PeerSecurity::Plaintext,
    ];
    for intruder in intruders {
        let mut options = quorum.options(third);
        intruder(&mut options);
        let log = KraftLog::open(options).await.unwrap();
        let before = leader.quorum().epoch;
        make_topics(&leader, epoch, leader_end(&leader)..leader_end(&leader) + 5).await;
        until("it has tried", || log.quorum().epoch.0 > 1 || log.quorum().members.is_empty()).await;
        assert_eq!(leader_end(&log), 0, "nothing got to it");
        assert_eq!(leader.quorum().epoch, before);
        log.shutdown().await.unwrap();
    }
    quorum.start(third).await;
    let end = make_topics(&leader, epoch, 100..105).await;
    quorum.reaches(end).await;
}

fn leader_end(log: &KraftLog) -> u64 {
    u64::try_from(metadata_core::log::MetadataLog::extent(log).end_offset.0).unwrap()
}

#[tokio::test]
async fn files_that_can_not_be_used_are_named() {
    let quorum = Quorum::of(&[3000, 3001], &[3000, 3001]).await;
    let garbage = quorum.dir_of(NodeId(3000)).join("garbage.pem");
    std::fs::write(&garbage, "no certificate").unwrap();
    let missing = quorum.dir_of(NodeId(3000)).join("missing.pem");
    for (files, named) in [
        (PeerTls { authorities: garbage.clone(), ..files("ours") }, &garbage),
        (PeerTls { certificate: garbage.clone(), ..files("ours") }, &garbage),
        (PeerTls { key: garbage.clone(), ..files("ours") }, &garbage),
        (PeerTls { key: missing.clone(), ..files("ours") }, &missing),
        (PeerTls { key: files("stranger").key, ..files("ours") }, &files("ours").certificate),
    ] {
        let mut options = quorum.options(NodeId(3000));
        options.peers.as_mut().unwrap().security = PeerSecurity::Tls(files);
        let error = KraftLog::open(options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains(&named.display().to_string()), "{error}");
    }
}
