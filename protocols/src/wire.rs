//! The one place that knows bincode.
//!
//! Bytes made here are a promise: `tests/golden` pins them, and [`VERSION`] rises when they change.
//! Decoding is bounded: no input makes it allocate more than [`MESSAGE_MAX_LEN`], and bytes left
//! over after a value are an error, never ignored.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The version of the bytes that [`encode`] makes.
pub const VERSION: u16 = 1;

/// The largest encoded message, in bytes (64 MiB).
pub const MESSAGE_MAX_LEN: usize = 64 << 20;

/// Room for a small message, in bytes.
const SMALL_LEN: usize = 128;

/// What can be wrong with bytes that should have been a message.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The value has no encoded form, or one above the limit.
    #[error("the value cannot be encoded: {0}")]
    Encode(#[source] bincode::error::EncodeError),
    /// The value is larger than [`MESSAGE_MAX_LEN`].
    #[error("the message has {len} bytes, more than the limit of {MESSAGE_MAX_LEN}")]
    TooLarge {
        /// Its encoded size in bytes.
        len: usize,
    },
    /// The bytes are not what the type expects.
    #[error("the bytes are not a valid message: {0}")]
    Decode(#[source] bincode::error::DecodeError),
    /// Bytes remain after the value.
    #[error("{extra} bytes are left over after the message")]
    Trailing {
        /// How many bytes remain.
        extra: usize,
    },
}

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<MESSAGE_MAX_LEN>()
}

/// Encodes a value.
///
/// # Errors
/// [`WireError::Encode`] or [`WireError::TooLarge`].
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, WireError> {
    // Most messages are small, and find room at once.
    let mut bytes = Vec::with_capacity(SMALL_LEN);
    encode_into(value, &mut bytes)?;
    if bytes.len() > MESSAGE_MAX_LEN {
        return Err(WireError::TooLarge { len: bytes.len() });
    }
    Ok(bytes)
}

/// Decodes a value that fills all of `bytes`.
///
/// # Errors
/// [`WireError::Decode`], [`WireError::Trailing`] or [`WireError::TooLarge`].
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    if bytes.len() > MESSAGE_MAX_LEN {
        return Err(WireError::TooLarge { len: bytes.len() });
    }
    let (value, used) =
        bincode::serde::decode_from_slice(bytes, config()).map_err(WireError::Decode)?;
    match bytes.len() - used {
        0 => Ok(value),
        extra => Err(WireError::Trailing { extra }),
    }
}

/// Encodes a value after what is in a buffer already.
///
/// # Errors
/// [`WireError::Encode`]; the buffer may then hold a part of it.
pub fn encode_into<T: Serialize + ?Sized>(
    value: &T,
    buffer: &mut impl std::io::Write,
) -> Result<(), WireError> {
    let written = bincode::serde::encode_into_std_write(value, buffer, config());
    written.map(drop).map_err(WireError::Encode)
}

/// Decodes a value from the front of `bytes`, and says how many it takes. What it holds of them is
/// not copied.
///
/// # Errors
/// [`WireError::Decode`].
pub fn decode_first<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<(T, usize), WireError> {
    bincode::serde::borrow_decode_from_slice(bytes, config()).map_err(WireError::Decode)
}

/// Takes an encoded `Result` apart without knowing what it holds: the bytes of the one or of the
/// other.
///
/// # Errors
/// [`WireError::Decode`] when it does not begin as a `Result` does.
pub fn settled(bytes: &[u8]) -> Result<Result<&[u8], &[u8]>, WireError> {
    let (variant, used) = decode_first::<u32>(bytes)?;
    match variant {
        0 => Ok(Ok(&bytes[used..])),
        1 => Ok(Err(&bytes[used..])),
        _ => {
            let no_result = "it is neither a reply nor a refusal".to_owned();
            Err(WireError::Decode(bincode::error::DecodeError::OtherString(no_result)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_taken_apart_without_knowing_what_it_holds() {
        let reply = encode(&Ok::<_, u8>("yes")).unwrap();
        assert_eq!(settled(&reply).unwrap(), Ok(&*encode("yes").unwrap()));
        let refusal = encode(&Err::<u8, _>("no")).unwrap();
        assert_eq!(settled(&refusal).unwrap(), Err(&*encode("no").unwrap()));
        assert!(settled(&[7]).is_err() && settled(&[]).is_err());
    }

    #[test]
    fn leftover_bytes_are_an_error() {
        let mut bytes = encode(&7_u32).unwrap();
        bytes.push(0);
        assert!(matches!(decode::<u32>(&bytes), Err(WireError::Trailing { extra: 1 })));
    }

    #[test]
    fn a_length_that_lies_is_refused_without_allocating_it() {
        // A byte string that claims 2^60 bytes.
        let mut bytes = vec![253];
        bytes.extend_from_slice(&(1_u64 << 60).to_le_bytes());
        assert!(matches!(decode::<Vec<u8>>(&bytes), Err(WireError::Decode(_))));
        assert!(matches!(decode::<String>(&bytes), Err(WireError::Decode(_))));
    }
}
