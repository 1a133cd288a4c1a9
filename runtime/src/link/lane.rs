//! Frames in the batches of a lane: each with its length before it, within bounds.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::StreamExt;
use genii_protocols::wire;
use serde::Serialize;

use super::network::{Broken, Incoming};

/// The largest frame, in bytes. A peer that announces a larger one speaks nonsense.
const FRAME_MAX_LEN: usize = 256 << 10;

/// How much is kept of what makes no sense, in bytes.
const NONSENSE_KEPT_LEN: usize = 200;

/// How many bytes the length of a frame takes.
const LENGTH_LEN: usize = 4;

/// Writes a frame behind what is in a buffer; or nothing, if it has no form.
pub(crate) fn put(buffer: &mut BytesMut, frame: &impl Serialize) -> Result<(), wire::WireError> {
    let begin = buffer.len();
    buffer.put_u32_le(0);
    let written = wire::encode_into(frame, &mut buffer.writer());
    let len = buffer.len() - begin - LENGTH_LEN;
    let error = match written {
        Ok(()) if len <= FRAME_MAX_LEN => {
            // Checked against the bound just now.
            buffer[begin..begin + LENGTH_LEN].copy_from_slice(&(len as u32).to_le_bytes());
            return Ok(());
        }
        Ok(()) => wire::WireError::TooLarge { len },
        Err(error) => error,
    };
    buffer.truncate(begin);
    Err(error)
}

/// Writes a frame whose bytes are there already, in two parts.
pub(crate) fn put_bytes(
    buffer: &mut BytesMut,
    head: &[u8],
    rest: &[u8],
) -> Result<(), wire::WireError> {
    let len = head.len() + rest.len();
    if len > FRAME_MAX_LEN {
        return Err(wire::WireError::TooLarge { len });
    }
    buffer.reserve(LENGTH_LEN + len);
    // Checked against the bound just now.
    buffer.put_u32_le(len as u32);
    buffer.put_slice(head);
    buffer.put_slice(rest);
    Ok(())
}

/// Frames as they come in.
pub(crate) struct Frames {
    incoming: Incoming,
    /// What was not read of the last batch.
    batch: Bytes,
    /// The beginning of a frame, when it was at the end of a batch.
    begun: BytesMut,
}

/// Why no more frames come.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum End {
    /// The other end has closed the lane.
    #[error("the other end has closed the connection")]
    Closed,
    /// It broke.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// What came makes no sense.
    #[error("it speaks nonsense: {0}")]
    Nonsense(String),
}

impl End {
    pub(crate) fn nonsense(what: impl std::fmt::Display) -> Self {
        Self::Nonsense(crate::logbook::cut(&what.to_string(), NONSENSE_KEPT_LEN).to_owned())
    }
}

impl Frames {
    pub(crate) fn new(incoming: Incoming) -> Self {
        Self { incoming, batch: Bytes::new(), begun: BytesMut::new() }
    }

    /// Waits for a batch.
    pub(crate) async fn more(&mut self) -> Result<(), End> {
        self.begun.extend_from_slice(&self.batch);
        self.batch = self.incoming.next().await.ok_or(End::Closed)??;
        Ok(())
    }

    /// Reads the frames that are there whole. What was read when `take` fails is gone.
    pub(crate) fn each(
        &mut self,
        mut take: impl FnMut(&[u8]) -> Result<(), End>,
    ) -> Result<(), End> {
        if let Some(taken) = self.begun_frame(&mut take)? {
            taken?;
        }
        let mut rest = &self.batch[..];
        let mut read = Ok(());
        while let Some((frame, after)) = first(rest)? {
            rest = after;
            read = take(frame);
            if read.is_err() {
                break;
            }
        }
        let used = self.batch.len() - rest.len();
        self.batch.advance(used);
        read
    }

    /// Waits for the next frame alone, and leaves what comes after it.
    pub(crate) async fn next<T>(
        &mut self,
        mut read: impl FnMut(&[u8]) -> Result<T, End>,
    ) -> Result<T, End> {
        loop {
            if let Some(frame) = self.begun_frame(&mut read)? {
                return frame;
            }
            if let Some((frame, after)) = first(&self.batch)? {
                let used = self.batch.len() - after.len();
                let frame = read(frame);
                self.batch.advance(used);
                return frame;
            }
            self.more().await?;
        }
    }

    /// Reads the frame that was begun, if there is one, and the rest of it has come.
    fn begun_frame<T>(&mut self, read: &mut impl FnMut(&[u8]) -> T) -> Result<Option<T>, End> {
        while !self.begun.is_empty() {
            if let Some((frame, _)) = first(&self.begun)? {
                let frame = read(frame);
                self.begun.clear();
                return Ok(Some(frame));
            }
            if self.batch.is_empty() {
                return Ok(None);
            }
            let missing = missing(&self.begun).min(self.batch.len());
            self.begun.extend_from_slice(&self.batch.split_to(missing));
        }
        Ok(None)
    }
}

/// How many bytes are missing of what was begun: of its length, and then of itself.
fn missing(begun: &[u8]) -> usize {
    match begun.split_first_chunk::<LENGTH_LEN>() {
        None => LENGTH_LEN - begun.len(),
        Some((length, rest)) => (u32::from_le_bytes(*length) as usize).saturating_sub(rest.len()),
    }
}

/// A frame, and what comes after it.
type FrameAndRest<'a> = (&'a [u8], &'a [u8]);

/// The first frame of some bytes and what comes after it, if it is there whole.
fn first(bytes: &[u8]) -> Result<Option<FrameAndRest<'_>>, End> {
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_LEN>() else { return Ok(None) };
    let len = u32::from_le_bytes(*length) as usize;
    if len > FRAME_MAX_LEN {
        return Err(End::nonsense(format_args!("a frame of {len} bytes")));
    }
    Ok(rest.split_at_checked(len))
}

/// What a frame says.
pub(crate) fn read<'a, T: serde::Deserialize<'a>>(frame: &'a [u8]) -> Result<T, End> {
    match wire::decode_first(frame) {
        Ok((said, used)) if used == frame.len() => Ok(said),
        Ok((_, used)) => Err(End::nonsense(format_args!("{} bytes too many", frame.len() - used))),
        Err(error) => Err(End::nonsense(error)),
    }
}

/// What a greeting says. One of a later version may be longer; its beginning is the same.
pub(crate) fn read_greeting<'a, T: serde::Deserialize<'a>>(frame: &'a [u8]) -> Result<T, End> {
    wire::decode_first(frame).map(|(said, _)| said).map_err(End::nonsense)
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use genii_protocols::frame::Control;
    use proptest::prelude::*;

    use super::*;

    fn lane(batches: Vec<Vec<u8>>) -> Frames {
        let batches = batches.into_iter().map(|batch| Ok(Bytes::from(batch)));
        Frames::new(stream::iter(batches).boxed())
    }

    async fn pings(frames: &mut Frames) -> (Vec<u64>, End) {
        let mut seen = Vec::new();
        loop {
            let read = frames.each(|frame| match read(frame)? {
                Control::Ping(number) => {
                    seen.push(number);
                    Ok(())
                }
                other => Err(End::nonsense(format_args!("{other:?}"))),
            });
            let more = match read {
                Ok(()) => frames.more().await,
                end => end,
            };
            if let Err(end) = more {
                return (seen, end);
            }
        }
    }

    proptest! {
        #[test]
        fn frames_are_read_wherever_batches_end(numbers: Vec<u64>, cuts: Vec<usize>) {
            let mut bytes = BytesMut::new();
            for number in &numbers {
                put(&mut bytes, &Control::Ping(*number)).unwrap();
            }
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
            cuts.sort_unstable();
            let ends = cuts.iter().copied().chain([bytes.len()]);
            let mut begin = 0;
            let batches = ends.map(|end| bytes[std::mem::replace(&mut begin, end)..end].to_vec());
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (seen, end) = runtime.block_on(pings(&mut lane(batches.collect())));
            prop_assert_eq!(seen, numbers);
            prop_assert_eq!(end, End::Closed);
        }

        #[test]
        fn nonsense_is_told_of_and_takes_no_more_than_was_sent(bytes: Vec<u8>) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _any = runtime.block_on(pings(&mut lane(vec![bytes])));
        }
    }

    #[tokio::test]
    async fn a_frame_that_is_announced_too_large_ends_the_lane() {
        let mut bytes = (u32::MAX).to_le_bytes().to_vec();
        bytes.extend([0; 10]);
        let (_, end) = pings(&mut lane(vec![bytes])).await;
        assert!(matches!(end, End::Nonsense(_)));
        let mut bytes = BytesMut::new();
        put(&mut bytes, &Control::Ping(1)).unwrap();
        bytes[0] += 1;
        bytes.put_u8(7);
        let (_, end) = pings(&mut lane(vec![bytes.to_vec()])).await;
        assert_eq!(end, End::Nonsense("1 bytes too many".to_owned()));
    }
}
