//! Length-delimited JSON: four bytes of length in network order, then one JSON document.

use serde::{Serialize, de::DeserializeOwned};
use std::fmt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A frame may not be longer: the largest real one, all specs of a node, is far below a megabyte,
/// and a length beyond this is text that was taken for a frame.
pub const MAXIMUM_FRAME: usize = 64 * 1024 * 1024;

/// Why a frame could not be read or written.
#[derive(Debug)]
pub enum FrameError {
    /// The stream ended or broke.
    Io(std::io::Error),
    /// The length is beyond [`MAXIMUM_FRAME`].
    TooLong(usize),
    /// The document is not what the protocol says. Carries no part of it: it may hold secrets.
    Malformed(&'static str),
}

impl fmt::Display for FrameError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::Io(_) => formatter.write_str("the connection broke"),
            FrameError::TooLong(length) => {
                write!(formatter, "a message of {length} bytes is longer than any can be")
            }
            FrameError::Malformed(what) => write!(formatter, "a message is not valid: {what}"),
        }
    }
}

impl std::error::Error for FrameError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            FrameError::Io(error) => Some(error),
            _ => None,
        }
    }
}

/// Reads one frame; `None` when the stream ends between two frames.
///
/// # Errors
/// When the stream breaks within a frame, or the frame is not valid.
pub(crate) async fn read<T: DeserializeOwned>(
    reader: &mut (impl AsyncRead + Unpin),
) -> Result<Option<T>, FrameError> {
    let mut length = [0_u8; 4];
    let first = reader.read(&mut length).await.map_err(FrameError::Io)?;
    if first == 0 {
        return Ok(None);
    }
    reader.read_exact(&mut length[first..]).await.map_err(FrameError::Io)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > MAXIMUM_FRAME {
        return Err(FrameError::TooLong(length));
    }
    // Grown while it arrives: a false length must not reserve memory.
    let mut bytes = Vec::new();
    let mut limited = reader.take(length as u64);
    limited.read_to_end(&mut bytes).await.map_err(FrameError::Io)?;
    if bytes.len() < length {
        return Err(FrameError::Io(std::io::ErrorKind::UnexpectedEof.into()));
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|error| {
        FrameError::Malformed(match error.classify() {
            serde_json::error::Category::Data => "it has another shape",
            _ => "it is not JSON",
        })
    })
}

/// Encodes one frame.
///
/// # Errors
/// When it is longer than [`MAXIMUM_FRAME`].
pub(crate) fn encode(message: &impl Serialize) -> Result<Vec<u8>, FrameError> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message)
        .map_err(|_| FrameError::Malformed("it cannot be written as JSON"))?;
    let length = bytes.len() - 4;
    if length > MAXIMUM_FRAME {
        return Err(FrameError::TooLong(length));
    }
    let length = u32::try_from(length).map_err(|_| FrameError::TooLong(length))?;
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    Ok(bytes)
}

/// Writes one frame and flushes.
///
/// # Errors
/// When the stream breaks, or the frame is too long.
pub(crate) async fn write(
    writer: &mut (impl AsyncWrite + Unpin),
    message: &impl Serialize,
) -> Result<(), FrameError> {
    let bytes = encode(message)?;
    writer.write_all(&bytes).await.map_err(FrameError::Io)?;
    writer.flush().await.map_err(FrameError::Io)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_round_trip_and_end_cleanly() {
        let (mut one, mut other) = tokio::io::duplex(7);
        let sent: Vec<String> = vec!["a".repeat(1000), "é".to_owned()];
        let copy = sent.clone();
        tokio::spawn(async move {
            for text in &copy {
                write(&mut one, text).await.unwrap();
            }
        });
        for text in &sent {
            assert_eq!(read::<String>(&mut other).await.unwrap().as_ref(), Some(text));
        }
        assert!(read::<String>(&mut other).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn text_is_not_taken_for_a_frame() {
        let mut text = &b"Welcome to Ubuntu!\n"[..];
        assert!(matches!(read::<String>(&mut text).await, Err(FrameError::TooLong(_))));
        let mut cut = &[0, 0, 0, 9, b'"'][..];
        assert!(matches!(read::<String>(&mut cut).await, Err(FrameError::Io(_))));
        let mut other = &[0, 0, 0, 2, b'4', b'2'][..];
        let error = read::<String>(&mut other).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("42"), "{error:?}");
    }
}
