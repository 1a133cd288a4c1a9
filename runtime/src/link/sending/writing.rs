//! How a message is written to a link.

use std::sync::OnceLock;

use bytes::BytesMut;
use genii_protocols::frame::{self, Brief, Data, Payload};
use genii_protocols::wire;
use tokio::time::Instant;

use super::windows::Numbered;
use super::{Link, NotSent, Saying, Style};
use crate::link::lane;
use crate::link::names::NoNumber;
use crate::link::outbox::NotWritten;

impl Link {
    pub(super) fn write(
        &self,
        style: Style,
        saying: &Saying<'_>,
        payload: Payload<'_>,
    ) -> Result<(), NotSent> {
        let meta = saying.meta;
        let window = saying.to;
        let from = match &meta.from {
            None => None,
            Some(from) => {
                let number = self.number_in(&window.sender, from.address.as_str())?;
                Some((number, from.incarnation))
            }
        };
        let message = self.number_in(&window.message, saying.message)?;
        let left = |deadline: Instant| {
            let left = deadline.saturating_duration_since(Instant::now()).as_micros();
            u64::try_from(left).unwrap_or(u64::MAX)
        };
        let letter = frame::Letter {
            to: window.number,
            message,
            from,
            deadline: meta.deadline.map(left),
            trace: meta.trace.as_deref().copied(),
            is_json: saying.is_json,
            payload,
        };
        match self.data.write(|buffer| put(buffer, style, letter)) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(NotSent::TooLarge(saying.payload.len())),
            Err(NotWritten::Full) => Err(self.crowded_or_lost()),
            Err(NotWritten::Closed) => Err(NotSent::Lost),
        }
    }

    /// As [`Link::number`], for a text that is often the same as the last time.
    fn number_in(&self, known: &OnceLock<Numbered>, text: &str) -> Result<u32, NotSent> {
        if let Some(known) = known.get().filter(|known| *known.text == *text) {
            return Ok(known.number);
        }
        let number = self.number(text)?;
        let _other_than_the_first = known.set(Numbered { text: text.into(), number });
        Ok(number)
    }

    /// The number of a text, which the other end is told if it does not know it.
    pub(in crate::link) fn number(&self, text: &str) -> Result<u32, NotSent> {
        let tell = |text: &str| {
            self.data.write_always(|buffer| lane::put(buffer, &Data::Name(text))).is_ok()
        };
        self.numbers.of(text, tell).map_err(|why| {
            // What the other end still says is not heard then; where it is about to leave, it is.
            if why == NoNumber::UsedUp {
                // A new link begins to count anew.
                self.end();
            }
            NotSent::Lost
        })
    }
}

/// Writes a message as it is to be said.
fn put(
    buffer: &mut BytesMut,
    style: Style,
    letter: frame::Letter<'_>,
) -> Result<(), wire::WireError> {
    let correlation = match style {
        Style::Stream(correlation) => {
            return lane::put(buffer, &Data::Stream { correlation, letter });
        }
        Style::Tell => None,
        Style::Ask(correlation) => Some(correlation),
    };
    let frame::Letter { to, message, from, deadline, trace, is_json, payload } = letter;
    if let (false, Payload::Whole(payload)) = (is_json, &payload) {
        let brief = Brief { correlation, to, message, from, deadline, trace, payload };
        return lane::put_bytes(buffer, brief.head().as_ref(), payload);
    }
    let letter = frame::Letter { to, message, from, deadline, trace, is_json, payload };
    match correlation {
        None => lane::put(buffer, &Data::Tell(letter)),
        Some(correlation) => lane::put(buffer, &Data::Ask { correlation, letter }),
    }
}
