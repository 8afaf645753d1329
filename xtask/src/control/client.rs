//! The asker's side of the socket.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::place;
use super::protocol::{ANSWER_BYTES_MAX, Answer, Progressed, Request, from_line, to_line};
use crate::cli::Failure;

/// A controller that says nothing for so long has hung or died. It speaks every second while it works.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Asks the controller that holds a data directory. `None` when no process listens there.
///
/// # Errors
/// What the controller answers instead, or that it fell silent: then nobody knows whether it did what was asked.
pub async fn ask<T: DeserializeOwned>(
    data_dir: &Path,
    request: &Request,
    mut progress: impl FnMut(Progressed),
) -> Result<Option<T>, Failure> {
    let socket = place::find(data_dir);
    let stream = match UnixStream::connect(&socket).await {
        Ok(stream) => stream,
        Err(error) if is_absence(&error) => return Ok(None),
        Err(error) => {
            return Err(Failure::failed(format!("can't open the control socket {}", socket.display()))
                .because(&error)
                .next("run this as the user who runs `migrate`"));
        }
    };
    let lost = |reason: String| {
        Failure::failed("the controller went away before it answered")
            .why(reason)
            .next(format!("ask `cargo xtask status --data-dir {}` whether it still runs", data_dir.display()))
    };
    let (reader, mut writer) = stream.into_split();
    writer.write_all(&to_line(request)?).await.map_err(|error| lost(error.to_string()))?;
    let mut reader = BufReader::new(reader);
    let limit = u64::try_from(ANSWER_BYTES_MAX).unwrap_or(u64::MAX);
    loop {
        let mut line = Vec::new();
        let read = timeout(SILENCE_MAX, (&mut reader).take(limit).read_until(b'\n', &mut line)).await;
        read.map_err(|_| lost(format!("it said nothing for {} s", SILENCE_MAX.as_secs())))?
            .map_err(|error| lost(error.to_string()))?;
        if line.last() != Some(&b'\n') {
            return Err(lost("the connection ended".to_owned()));
        }
        let answer: Answer = from_line(&line)?;
        if let Answer::Working { progress: Some(report) } = &answer {
            progress(report.clone());
        }
        if let Some(ending) = answer.ending() {
            let result = serde_json::from_value(ending?);
            return result.map(Some).map_err(|_| {
                Failure::failed("the controller's answer is not understood")
                    .next("use the `cargo xtask` of the same build on both sides")
            });
        }
    }
}

/// Whether a controller listens for the data directory that `path` is, or that it lies in (up to two levels above it).
pub async fn is_held(path: &Path) -> bool {
    for dir in path.ancestors().take(3) {
        if UnixStream::connect(place::find(dir)).await.is_ok() {
            return true;
        }
    }
    false
}

/// Nobody listens: there is no socket, or its process is dead.
fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::NotADirectory)
}
