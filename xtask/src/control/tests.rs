//! Conversations over real sockets.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::Notify;

use super::protocol::{from_line, to_line};
use super::*;
use crate::change::Change;
use crate::cli::{Exit, Failure};

/// Says what it was asked.
struct Echo;

#[async_trait]
impl Handler for Echo {
    async fn handle(&self, request: Request, reporter: &Reporter) -> Result<Value, Failure> {
        match request {
            Request::Status | Request::Health => Ok(json!({"state": "DUAL_WRITE"})),
            Request::Change { change } => Ok(json!(format!("{change:?}"))),
            Request::Random { count, .. } => {
                reporter.report(count / 2, Some(count), "changes");
                // Longer than the interval at which askers hear of it.
                tokio::time::sleep(super::server::WORKING_INTERVAL * 3 / 2).await;
                Ok(json!(count))
            }
            Request::Finalize { despite_brokers } => Ok(json!(despite_brokers)),
            Request::AddVoter { id, .. } | Request::RemoveVoter { id } => Ok(json!(id)),
            Request::Rollback { .. } => Ok(Value::Null),
            Request::Verify { .. } => {
                Err(Failure::blocked("can't verify").why("one").why("two").next("wait").field("n", 7))
            }
        }
    }
}

async fn raw(dir: &Path, bytes: &[u8]) -> Value {
    let mut stream = UnixStream::connect(dir.join(SOCKET_FILE)).await.unwrap();
    // Refused requests are not read to their end.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    serde_json::from_slice(answer.split(|b| *b == b'\n').next().unwrap()).unwrap_or_default()
}

#[tokio::test]
async fn a_request_is_answered_and_a_failure_arrives_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let _server = ControlServer::start(dir.path(), Arc::new(Echo)).unwrap();
    let status: Option<Value> = ask(dir.path(), &Request::Status, |_| {}).await.unwrap();
    assert_eq!(status, Some(json!({"state": "DUAL_WRITE"})));
    let verify = Request::Verify { differences_max: 1, show_secrets: false };
    let failure = ask::<Value>(dir.path(), &verify, |_| {}).await.unwrap_err();
    assert_eq!((failure.exit(), failure.what()), (Exit::Blocked, "can't verify"));
    assert_eq!(failure.reasons(), ["one", "two"]);
    let fields = failure.into_fields();
    assert_eq!((&fields["next"], &fields["n"]), (&json!(["wait"]), &json!(7)));
}

#[tokio::test]
async fn long_answers_say_how_far_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let _server = ControlServer::start(dir.path(), Arc::new(Echo)).unwrap();
    let mut heard = Vec::new();
    let answer: Option<u64> =
        ask(dir.path(), &Request::Random { count: 10, seed: 1 }, |progress| heard.push(progress)).await.unwrap();
    assert_eq!(answer, Some(10));
    assert_eq!(heard, [Progressed { done: 5, total: Some(10), unit: "changes".into() }]);
}

#[tokio::test]
async fn nobody_there_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(ask::<Value>(dir.path(), &Request::Status, |_| {}).await.unwrap(), None);
    assert_eq!(ask::<Value>(&dir.path().join("absent"), &Request::Status, |_| {}).await.unwrap(), None);
    drop(ControlServer::start(dir.path(), Arc::new(Echo)).unwrap());
    assert_eq!(ask::<Value>(dir.path(), &Request::Status, |_| {}).await.unwrap(), None);
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_harms_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let _server = ControlServer::start(dir.path(), Arc::new(Echo)).unwrap();
    let too_long = vec![b' '; REQUEST_BYTES_MAX + 1];
    for (bytes, expected) in [
        (&b"hello\n"[..], "no JSON"),
        (b"\xff\xfe\n", "no JSON"),
        (b"{}\n", "it has no version"),
        (b"{\"v\":2,\"ask\":\"status\"}\n", "its version is 2, expected 1"),
        (b"{\"v\":1,\"ask\":\"explode\"}\n", "its fields are not those of version 1"),
        (b"{\"v\":1,\"ask\":\"random\",\"count\":-1,\"seed\":1}\n", "its fields are not those of version 1"),
        (b"{\"v\":1,\"ask\":\"status\"}", "ends before its line does"),
        (&too_long, "longer than 1048576 bytes"),
    ] {
        let answer = raw(dir.path(), bytes).await;
        let shown = answer.to_string();
        assert!(answer["answer"] == "failed" && shown.contains(expected), "{expected}: {shown}");
    }
    assert_eq!(raw(dir.path(), b"").await, Value::Null);
    assert!(ask::<Value>(dir.path(), &Request::Status, |_| {}).await.unwrap().is_some());
}

/// Waits for ever, and says when it is given up.
struct Waits(Arc<Notify>, Arc<AtomicBool>);

#[async_trait]
impl Handler for Waits {
    async fn handle(&self, _: Request, _: &Reporter) -> Result<Value, Failure> {
        struct GivenUp(Arc<Notify>);
        impl Drop for GivenUp {
            fn drop(&mut self) {
                self.0.notify_one();
            }
        }
        let _given_up = GivenUp(Arc::clone(&self.0));
        self.1.store(true, Ordering::SeqCst);
        std::future::pending().await
    }
}

#[tokio::test]
async fn work_for_an_asker_who_went_away_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let (given_up, asked) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let _server = ControlServer::start(dir.path(), Arc::new(Waits(Arc::clone(&given_up), Arc::clone(&asked)))).unwrap();
    let mut stream = UnixStream::connect(dir.path().join(SOCKET_FILE)).await.unwrap();
    stream.write_all(&to_line(&Request::Status).unwrap()).await.unwrap();
    let mut first = [0; 1];
    stream.read_exact(&mut first).await.unwrap();
    drop(stream);
    given_up.notified().await;
    assert!(asked.load(Ordering::SeqCst));
}

#[tokio::test]
async fn too_many_at_once_are_told_to_come_later() {
    let dir = tempfile::tempdir().unwrap();
    let (given_up, asked) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let _server = ControlServer::start(dir.path(), Arc::new(Waits(given_up, asked))).unwrap();
    let mut streams = Vec::new();
    for _ in 0..32 {
        let mut stream = UnixStream::connect(dir.path().join(SOCKET_FILE)).await.unwrap();
        stream.write_all(&to_line(&Request::Status).unwrap()).await.unwrap();
        let mut first = [0; 1];
        stream.read_exact(&mut first).await.unwrap();
        streams.push(stream);
    }
    let failure = ask::<Value>(dir.path(), &Request::Status, |_| {}).await.unwrap_err();
    assert!(failure.to_string().contains("too many others"), "{failure}");
    drop(streams);
}

#[test]
fn requests_survive_the_way_and_errors_quote_no_secrets() {
    for request in [
        Request::Status,
        Request::Health,
        Request::Change { change: Change::DeleteTopic { name: "t".into() } },
        Request::Random { count: 3, seed: u64::MAX },
        Request::Finalize { despite_brokers: true },
        Request::Verify { differences_max: 100, show_secrets: true },
    ] {
        let line = to_line(&request).unwrap();
        assert_eq!(from_line::<Request>(&line).unwrap(), request);
    }
    let failure = from_line::<Request>(br#"{"v":1,"ask":"change","change":{"kind":"hunter2"}}"#).unwrap_err();
    assert!(!failure.lines().join(" ").contains("hunter2"), "{failure}");
}

#[tokio::test]
async fn a_server_that_finishes_answers_who_has_asked_and_takes_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let server = ControlServer::start(dir.path(), Arc::new(Echo)).unwrap();
    let (heard, hears) = tokio::sync::oneshot::channel();
    let path = dir.path().to_owned();
    let asking = tokio::spawn(async move {
        let mut heard = Some(heard);
        let tell = |_| {
            if let Some(heard) = heard.take() {
                heard.send(()).unwrap();
            }
        };
        ask::<Value>(&path, &Request::Random { count: 4, seed: 0 }, tell).await
    });
    // It is being worked on.
    hears.await.unwrap();
    server.finish().await;
    assert_eq!(asking.await.unwrap().unwrap(), Some(json!(4)));
    assert_eq!(ask::<Value>(dir.path(), &Request::Status, |_| {}).await.unwrap(), None);
}
