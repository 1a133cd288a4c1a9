//! Spans and points of time, as people write them in JSON (`"1m 30s"`, RFC 3339) and as numbers on
//! the wire.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A length of time; `"250ms"`, `"1m 30s"` in JSON and settings.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TimeSpan(pub Duration);

/// Why a text is no time span.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TimeSpanError {
    /// It is not written as one.
    #[error(transparent)]
    Syntax(#[from] humantime::DurationError),
    /// It is longer than [`TimeSpan::MAX`].
    #[error("it is longer than ten years")]
    TooLong,
}

impl TimeSpan {
    /// The longest span that is read, so that a moment so much later can always be told: ten years.
    pub const MAX: Self = Self(Duration::from_secs(10 * 365 * 24 * 3_600));

    /// A span of so many milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// A span of so many seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }
}

impl From<Duration> for TimeSpan {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl From<TimeSpan> for Duration {
    fn from(span: TimeSpan) -> Self {
        span.0
    }
}

impl FromStr for TimeSpan {
    type Err = TimeSpanError;

    fn from_str(text: &str) -> Result<Self, TimeSpanError> {
        match humantime::parse_duration(text)? {
            span if span > Self::MAX.0 => Err(TimeSpanError::TooLong),
            span => Ok(Self(span)),
        }
    }
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", humantime::format_duration(self.0))
    }
}

impl fmt::Debug for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for TimeSpan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_str(self);
        }
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for TimeSpan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            let span = Duration::deserialize(deserializer)?;
            let is_too_long = span > Self::MAX.0;
            let refused = || de::Error::custom(TimeSpanError::TooLong);
            return if is_too_long { Err(refused()) } else { Ok(Self(span)) };
        }
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(|error| {
            de::Error::custom(format!(
                "{text:?} is not a time span such as \"250ms\" or \"1m 30s\": {error}"
            ))
        })
    }
}

impl JsonSchema for TimeSpan {
    fn schema_name() -> Cow<'static, str> {
        "TimeSpan".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "a time span such as \"250ms\" or \"1m 30s\"" })
    }
}

/// A point of wall-clock time, to the microsecond; RFC 3339 in JSON.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The time by this machine's clock.
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// Microseconds since 1970.
    pub fn micros(self) -> u64 {
        self.0
    }

    /// As the standard library has it.
    pub fn system_time(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_micros(self.0)
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(since.as_micros().try_into().unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", humantime::format_rfc3339_millis(self.system_time()))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_str(&humantime::format_rfc3339_micros(self.system_time()));
        }
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return u64::deserialize(deserializer).map(|micros| Self(micros.min(LAST_MICROS)));
        }
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        humantime::parse_rfc3339_weak(&text).map(Self::from).map_err(de::Error::custom)
    }
}

/// The last microsecond of the year 9999, the last that RFC 3339 can write.
const LAST_MICROS: u64 = 253_402_300_799_999_999;

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    #[test]
    fn spans_read_as_people_write_them() {
        let span: TimeSpan = serde_json::from_str("\"1m 30s\"").unwrap();
        assert_eq!(span.0, Duration::from_secs(90));
        assert_eq!(serde_json::to_string(&span).unwrap(), "\"1m 30s\"");
        let error = serde_json::from_str::<TimeSpan>("\"soon\"").unwrap_err().to_string();
        assert!(error.contains("\"soon\" is not a time span"), "{error}");
    }

    #[test]
    fn both_survive_the_wire() {
        let now = Timestamp::now();
        assert_eq!(wire::decode::<Timestamp>(&wire::encode(&now).unwrap()).unwrap(), now);
        let text = serde_json::to_string(&now).unwrap();
        assert_eq!(serde_json::from_str::<Timestamp>(&text).unwrap(), now);
        let span = TimeSpan::from_millis(7);
        assert_eq!(wire::decode::<TimeSpan>(&wire::encode(&span).unwrap()).unwrap(), span);
    }

    #[test]
    fn a_time_beyond_the_calendar_prints_without_panic() {
        let far: Timestamp = wire::decode(&wire::encode(&u64::MAX).unwrap()).unwrap();
        assert!(far.to_string().starts_with("9999-12-31"));
        let before: Timestamp = (UNIX_EPOCH - Duration::from_secs(1)).into();
        assert_eq!(before.micros(), 0);
    }
}
