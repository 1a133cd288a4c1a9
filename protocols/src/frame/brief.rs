//! The frames that nearly all traffic is made of, written and read by hand.
//!
//! Their bytes are those of [`Data::Tell`], [`Data::Ask`] and [`Data::Reply`], which a test holds
//! them to. What is not said here in the shortest way is left to those, also what makes no sense.
//!
//! [`Data::Tell`]: super::Data::Tell
//! [`Data::Ask`]: super::Data::Ask
//! [`Data::Reply`]: super::Data::Reply

use crate::TraceContext;

/// The variants of [`Data`](super::Data), by number.
const TELL: u8 = 2;
const ASK: u8 = 3;
const REPLY: u8 = 4;

/// The number of [`Payload::Whole`](super::Payload::Whole).
const WHOLE: u8 = 0;

/// The most that a frame takes without its payload, in bytes.
const HEAD_MAX_LEN: usize = 96;

/// The number of a variant that says how long a number is, by its first byte: two, four, eight or
/// sixteen bytes follow. What is less is the number itself.
const IN_2: u8 = 251;
const IN_4: u8 = 252;
const IN_8: u8 = 253;
const IN_16: u8 = 254;

/// A message in the wire format, told or asked, that is whole in its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Brief<'a> {
    /// As in [`Data::Ask`](super::Data::Ask); none if it is told.
    pub correlation: Option<u64>,
    /// As in [`Letter`](super::Letter).
    pub to: u32,
    /// As in [`Letter`](super::Letter).
    pub message: u32,
    /// As in [`Letter`](super::Letter).
    pub from: Option<(u32, u64)>,
    /// As in [`Letter`](super::Letter).
    pub deadline: Option<u64>,
    /// As in [`Letter`](super::Letter).
    pub trace: Option<TraceContext>,
    /// The message.
    pub payload: &'a [u8],
}

impl<'a> Brief<'a> {
    /// Everything of the frame but the payload, which comes last.
    pub fn head(&self) -> Head {
        let mut head = Head::new();
        match self.correlation {
            None => head.byte(TELL),
            Some(correlation) => {
                head.byte(ASK);
                head.number(correlation);
            }
        }
        head.number(self.to.into());
        head.number(self.message.into());
        head.option(self.from, |head, (number, incarnation)| {
            head.number(number.into());
            head.number(incarnation);
        });
        head.option(self.deadline, Head::number);
        head.option(self.trace, |head, trace| {
            head.long_number(trace.trace_id);
            head.number(trace.span_id);
        });
        let is_json = false;
        head.byte(is_json.into());
        head.payload(self.payload);
        head
    }

    /// What a frame says, if it is one of these.
    pub fn read(frame: &'a [u8]) -> Option<Self> {
        let mut rest = Rest(frame);
        let correlation = match rest.byte()? {
            TELL => None,
            ASK => Some(rest.number()?),
            _ => return None,
        };
        let to = rest.short_number()?;
        let message = rest.short_number()?;
        let from = rest.option(|rest| Some((rest.short_number()?, rest.number()?)))?;
        let deadline = rest.option(Rest::number)?;
        let trace = rest.option(|rest| {
            Some(TraceContext { trace_id: rest.long_number()?, span_id: rest.number()? })
        })?;
        let is_json = rest.byte()? != 0;
        let payload = rest.payload()?;
        (!is_json).then_some(Self { correlation, to, message, from, deadline, trace, payload })
    }
}

/// An answer that is whole in its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BriefReply<'a> {
    /// As it was asked.
    pub correlation: u64,
    /// The answer.
    pub payload: &'a [u8],
}

impl<'a> BriefReply<'a> {
    /// Everything of the frame but the payload, which comes last.
    pub fn head(&self) -> Head {
        let mut head = Head::new();
        head.byte(REPLY);
        head.number(self.correlation);
        head.payload(self.payload);
        head
    }

    /// What a frame says, if it is one of these.
    pub fn read(frame: &'a [u8]) -> Option<Self> {
        let mut rest = Rest(frame);
        if rest.byte()? != REPLY {
            return None;
        }
        Some(Self { correlation: rest.number()?, payload: rest.payload()? })
    }
}

/// The beginning of a frame.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    bytes: [u8; HEAD_MAX_LEN],
    len: usize,
}

impl AsRef<[u8]> for Head {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Head {
    fn new() -> Self {
        Self { bytes: [0; HEAD_MAX_LEN], len: 0 }
    }

    fn byte(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    fn bytes<const LEN: usize>(&mut self, mark: u8, bytes: [u8; LEN]) {
        self.byte(mark);
        self.bytes[self.len..self.len + LEN].copy_from_slice(&bytes);
        self.len += LEN;
    }

    fn number(&mut self, number: u64) {
        if let Ok(short) = u8::try_from(number)
            && short < IN_2
        {
            self.byte(short);
        } else if let Ok(short) = u16::try_from(number) {
            self.bytes(IN_2, short.to_le_bytes());
        } else if let Ok(short) = u32::try_from(number) {
            self.bytes(IN_4, short.to_le_bytes());
        } else {
            self.bytes(IN_8, number.to_le_bytes());
        }
    }

    fn long_number(&mut self, number: u128) {
        match u64::try_from(number) {
            Ok(short) => self.number(short),
            Err(_) => self.bytes(IN_16, number.to_le_bytes()),
        }
    }

    fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.byte(value.is_some().into());
        if let Some(value) = value {
            write(self, value);
        }
    }

    fn payload(&mut self, payload: &[u8]) {
        self.byte(WHOLE);
        self.number(payload.len() as u64);
    }
}

/// What was not read yet of a frame.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn bytes<const LEN: usize>(&mut self) -> Option<[u8; LEN]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        match self.byte()? {
            IN_2 => self.bytes().map(|bytes| u16::from_le_bytes(bytes).into()),
            IN_4 => self.bytes().map(|bytes| u32::from_le_bytes(bytes).into()),
            IN_8 => self.bytes().map(u64::from_le_bytes),
            short if short < IN_2 => Some(short.into()),
            _ => None,
        }
    }

    fn short_number(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    fn long_number(&mut self) -> Option<u128> {
        match self.0.first()? {
            &IN_16 => {
                self.byte()?;
                self.bytes().map(u128::from_le_bytes)
            }
            _ => self.number().map(u128::from),
        }
    }

    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.byte()? {
            0 => Some(None),
            1 => read(self).map(Some),
            _ => None,
        }
    }

    /// The rest, if that is a whole payload.
    fn payload(&mut self) -> Option<&'a [u8]> {
        let is_whole = self.byte()? == WHOLE;
        let len = self.number()?;
        (is_whole && len == self.0.len() as u64).then_some(self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Data, Letter, Payload};
    use super::*;
    use crate::wire;

    /// Numbers of every length.
    fn number() -> impl Strategy<Value = u64> {
        (any::<u64>(), 0_u32..64).prop_map(|(number, shift)| number >> shift)
    }

    fn short_number() -> impl Strategy<Value = u32> {
        (any::<u32>(), 0_u32..32).prop_map(|(number, shift)| number >> shift)
    }

    fn trace() -> impl Strategy<Value = TraceContext> {
        let trace_id = (any::<u128>(), 0_u32..128).prop_map(|(number, shift)| number >> shift);
        (trace_id, number()).prop_map(|(trace_id, span_id)| TraceContext { trace_id, span_id })
    }

    fn letter(brief: Brief<'_>) -> Data<'_> {
        let Brief { correlation, to, message, from, deadline, trace, payload } = brief;
        let payload = Payload::Whole(payload);
        let letter = Letter { to, message, from, deadline, trace, is_json: false, payload };
        match correlation {
            None => Data::Tell(letter),
            Some(correlation) => Data::Ask { correlation, letter },
        }
    }

    fn reply(BriefReply { correlation, payload }: BriefReply<'_>) -> Data<'_> {
        Data::Reply { correlation, answer: Payload::Whole(payload) }
    }

    proptest! {
        #[test]
        fn the_bytes_of_a_message_are_the_same_by_hand(
            correlation in prop::option::of(number()),
            (to, message) in (short_number(), short_number()),
            from in prop::option::of((short_number(), number())),
            deadline in prop::option::of(number()),
            trace in prop::option::of(trace()),
            payload in prop::collection::vec(any::<u8>(), 0..400),
        ) {
            let payload = &payload[..];
            let brief = Brief { correlation, to, message, from, deadline, trace, payload };
            let bytes = wire::encode(&letter(brief)).unwrap();
            prop_assert_eq!(&[brief.head().as_ref(), payload].concat(), &bytes);
            prop_assert_eq!(Brief::read(&bytes), Some(brief));
        }

        #[test]
        fn the_bytes_of_an_answer_are_the_same_by_hand(
            correlation in number(),
            payload in prop::collection::vec(any::<u8>(), 0..400),
        ) {
            let brief = BriefReply { correlation, payload: &payload };
            let bytes = wire::encode(&reply(brief)).unwrap();
            prop_assert_eq!(&[brief.head().as_ref(), &payload].concat(), &bytes);
            prop_assert_eq!(BriefReply::read(&bytes), Some(brief));
        }

        #[test]
        fn what_is_read_by_hand_is_read_so_by_all(
            kind in TELL..=REPLY,
            bytes in prop::collection::vec(prop_oneof![0_u8..8, any::<u8>()], 0..40),
        ) {
            let bytes = [vec![kind], bytes].concat();
            let by_hand = Brief::read(&bytes).map(letter);
            let by_hand = by_hand.or_else(|| BriefReply::read(&bytes).map(reply));
            if let Some(by_hand) = by_hand {
                let (read, used) = wire::decode_first::<Data<'_>>(&bytes).unwrap();
                prop_assert_eq!((read, used), (by_hand, bytes.len()));
            }
        }
    }

    #[test]
    fn the_longest_head_has_room() {
        let trace = TraceContext { trace_id: u128::MAX, span_id: u64::MAX };
        let brief = Brief {
            correlation: Some(u64::MAX),
            to: u32::MAX,
            message: u32::MAX,
            from: Some((u32::MAX, u64::MAX)),
            deadline: Some(u64::MAX),
            trace: Some(trace),
            payload: &[],
        };
        let payload_len = 9;
        assert!(brief.head().as_ref().len() + payload_len <= HEAD_MAX_LEN);
    }
}
