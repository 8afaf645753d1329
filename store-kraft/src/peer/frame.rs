//! The envelope of a message between controllers: `length | CRC-32C | message`, numbers big-endian. The checksum covers the
//! length and the message.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Bytes before the message.
const HEADER_LEN: usize = 8;

/// Longest message, inclusive: what the codec refuses to write can't be longer.
pub(super) const MESSAGE_BYTES_MAX: usize = crate::codec::BYTES_MAX;

/// Longest first message of a connection, inclusive: until it is read nobody knows who sends.
pub(super) const HELLO_BYTES_MAX: usize = 4 * 1024;

fn checksum(length: &[u8], message: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(length), message)
}

/// Sends a message.
///
/// # Errors
/// The connection broke.
pub(super) async fn write(stream: &mut (impl AsyncWrite + Unpin), message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len()).map_err(|_| invalid("the message is too long"))?.to_be_bytes();
    let mut header = [0; HEADER_LEN];
    let (first, second) = header.split_at_mut(4);
    first.copy_from_slice(&length);
    second.copy_from_slice(&checksum(&length, message).to_be_bytes());
    stream.write_all(&header).await?;
    stream.write_all(message).await?;
    stream.flush().await
}

/// The next message, of at most `longest` bytes; `None` when the other side closed the connection after a whole one. Memory
/// grows with what arrives, not with what the length says.
///
/// # Errors
/// The connection broke, ended within a message, or what arrives is no message.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin), longest: usize) -> io::Result<Option<Vec<u8>>> {
    let mut header = Vec::with_capacity(HEADER_LEN);
    stream.take(HEADER_LEN as u64).read_to_end(&mut header).await?;
    let (length, crc) = match header.split_first_chunk::<4>() {
        None if header.is_empty() => return Ok(None),
        Some((length, rest)) => match rest.first_chunk::<4>() {
            Some(crc) => (*length, u32::from_be_bytes(*crc)),
            None => return Err(cut_off()),
        },
        None => return Err(cut_off()),
    };
    let size = u32::from_be_bytes(length) as usize;
    if size == 0 || size > longest {
        return Err(invalid(format!("a message says that it has {size} bytes, possible are 1 to {longest}")));
    }
    let mut message = Vec::new();
    stream.take(size as u64).read_to_end(&mut message).await?;
    if message.len() < size {
        return Err(cut_off());
    }
    let computed = checksum(&length, &message);
    if computed != crc {
        return Err(invalid(format!("a message's checksum is {computed:08x}, sent was {crc:08x}")));
    }
    Ok(Some(message))
}

fn invalid(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.into())
}

fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended within a message")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
    }

    fn framed(messages: &[&[u8]]) -> Vec<u8> {
        run(async {
            let mut bytes = Vec::new();
            for message in messages {
                write(&mut bytes, message).await.unwrap();
            }
            bytes
        })
    }

    fn read_from(mut bytes: &[u8], longest: usize) -> io::Result<Option<Vec<u8>>> {
        run(read(&mut bytes, longest))
    }

    #[test]
    fn the_bytes_stay_what_they_are() {
        let crc = crc32c::crc32c(&[0, 0, 0, 2, 7, 8]).to_be_bytes();
        assert_eq!(framed(&[&[7, 8]]), [&[0, 0, 0, 2][..], &crc, &[7, 8]].concat());
    }

    #[test]
    fn messages_come_one_after_the_other_and_then_the_end() {
        let bytes = framed(&[b"one", b"two"]);
        run(async {
            let mut stream = &bytes[..];
            assert_eq!(read(&mut stream, 3).await.unwrap().as_deref(), Some(&b"one"[..]));
            assert_eq!(read(&mut stream, 3).await.unwrap().as_deref(), Some(&b"two"[..]));
            assert_eq!(read(&mut stream, 3).await.unwrap(), None);
        });
    }

    #[test]
    fn half_a_message_a_flipped_bit_and_a_length_beyond_the_limit_are_errors() {
        let sound = framed(&[b"message"]);
        for cut in 1..sound.len() {
            assert!(read_from(&sound[..cut], 7).is_err(), "cut at {cut}");
        }
        for at in 0..sound.len() {
            let mut flipped = sound.clone();
            flipped[at] ^= 1;
            assert!(read_from(&flipped, MESSAGE_BYTES_MAX).is_err(), "byte {at}");
        }
        assert!(read_from(&sound, 6).unwrap_err().to_string().contains("possible are 1 to 6"));
        assert!(read_from(&[0; 8], 7).is_err(), "a run of zeros");
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = read_from(&bytes, HELLO_BYTES_MAX);
        }
    }
}
