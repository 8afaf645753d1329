//! Frames: a length and so many bytes.

use std::io;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::timeout;

/// A longer request is refused. Kafka's `socket.request.max.bytes` is 100 MiB, for messages; the largest that a controller
/// gets moves some ten thousand partitions.
pub const REQUEST_BYTES_MAX: usize = 2 << 20;

/// A request that has begun is there within this time.
const REQUEST_WITHIN: Duration = Duration::from_secs(30);

/// Room is made for so many bytes at a time: who only says that much will come gets no memory for it.
const CHUNK: usize = 64 << 10;

/// Why there is no further frame.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    #[error("nothing was asked for {} s", .0.as_secs())]
    Idle(Duration),
    #[error("a request began and did not end within {} s", REQUEST_WITHIN.as_secs())]
    Slow,
    #[error("a request says that it has {0} bytes; at most {REQUEST_BYTES_MAX} are taken")]
    Length(i32),
    #[error("the connection ended within a request")]
    Half,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A frame of what `encode` writes.
pub(crate) fn framed(encode: impl FnOnce(&mut BytesMut) -> Result<(), String>) -> Result<Bytes, String> {
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    encode(&mut frame)?;
    let length = i32::try_from(frame.len() - 4).map_err(|error| error.to_string())?;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    Ok(frame.freeze())
}

/// The next frame without its length, or `None` at the end of the connection.
pub(super) async fn next_frame(
    stream: &mut (impl AsyncRead + Unpin),
    idle_max: Duration,
) -> Result<Option<Bytes>, FrameError> {
    let mut length = [0; 4];
    let first = timeout(idle_max, stream.read(&mut length[..1])).await.map_err(|_| FrameError::Idle(idle_max))?;
    if first? == 0 {
        return Ok(None);
    }
    let rest = async {
        stream.read_exact(&mut length[1..]).await.map_err(half)?;
        let said = i32::from_be_bytes(length);
        let length = usize::try_from(said).ok().filter(|length| *length <= REQUEST_BYTES_MAX);
        let length = length.ok_or(FrameError::Length(said))?;
        let mut frame = BytesMut::new();
        while frame.len() < length {
            let room = (length - frame.len()).min(CHUNK);
            frame.reserve(room);
            if (&mut *stream).take(room as u64).read_buf(&mut frame).await? == 0 {
                return Err(FrameError::Half);
            }
        }
        Ok(Some(frame.freeze()))
    };
    timeout(REQUEST_WITHIN, rest).await.unwrap_or(Err(FrameError::Slow))
}

fn half(error: io::Error) -> FrameError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => FrameError::Half,
        _ => FrameError::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(600);

    async fn read(bytes: &[u8]) -> Result<Option<Bytes>, FrameError> {
        let mut bytes = bytes;
        next_frame(&mut bytes, IDLE).await
    }

    #[tokio::test]
    async fn frames_are_read_whole_or_not_at_all() {
        assert_eq!(read(&[0, 0, 0, 2, 7, 8, 9]).await.unwrap().unwrap(), [7, 8][..]);
        assert!(read(&[0, 0, 0, 0]).await.unwrap().unwrap().is_empty());
        assert!(read(&[]).await.unwrap().is_none());
        for half in [&[0][..], &[0, 0, 0], &[0, 0, 0, 2], &[0, 0, 0, 2, 7]] {
            assert!(matches!(read(half).await, Err(FrameError::Half)), "{half:?}");
        }
        for long in [[0xff; 4], [0x7f, 0xff, 0xff, 0xff], [0, 0x20, 0, 1], *b"GET "] {
            assert!(matches!(read(&long).await, Err(FrameError::Length(_))), "{long:?}");
        }
        let long = [&(REQUEST_BYTES_MAX as i32).to_be_bytes()[..], &vec![5; REQUEST_BYTES_MAX]].concat();
        assert_eq!(read(&long).await.unwrap().unwrap().len(), REQUEST_BYTES_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_or_stops_midway_is_not_waited_for_for_ever() {
        let (mut ours, theirs) = tokio::io::duplex(64);
        assert!(matches!(next_frame(&mut ours, IDLE).await, Err(FrameError::Idle(_))));
        drop(theirs);
        let (mut ours, mut theirs) = tokio::io::duplex(64);
        tokio::io::AsyncWriteExt::write_all(&mut theirs, &[0, 0, 0, 9, 1]).await.unwrap();
        assert!(matches!(next_frame(&mut ours, IDLE).await, Err(FrameError::Slow)));
    }
}
