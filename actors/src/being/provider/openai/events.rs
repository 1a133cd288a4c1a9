//! Server-sent events, read as they come and never more of them than is needed.
//!
//! As WHATWG's HTML standard defines them, of which only `data` is of use here. Two leniencies: bytes
//! after which the stream ends count as an event also without the empty line, and `id`, `event` and
//! `retry` are passed over.

/// How long an event may be, in bytes.
pub(super) const EVENT_LEN_MAX: usize = 1 << 20;

/// Takes bytes, gives events.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// What has come and was not yet read.
    bytes: Vec<u8>,
    /// Up to where it was looked for the end of a line.
    searched: usize,
    /// The data of the event that is being read.
    data: Vec<u8>,
    has_data: bool,
    /// The last line ended with a carriage return; a line feed right after it belongs to that.
    after_return: bool,
    /// Something has come, so that a byte order mark means nothing any more.
    has_begun: bool,
}

/// Why bytes are no events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadEvent {
    #[error("an event of more than {EVENT_LEN_MAX} bytes")]
    TooLong,
    #[error("an event that is not UTF-8")]
    NotText,
}

impl Events {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next event that is whole.
    pub(super) fn next(&mut self) -> Result<Option<String>, BadEvent> {
        let mut at = 0;
        let found = loop {
            if self.after_return && self.bytes.get(at) == Some(&b'\n') {
                at += 1;
                self.searched = at;
            }
            self.after_return &= at == self.bytes.len();
            let Some(len) = self.line_len(at)? else { break None };
            let line = at..at + len;
            self.after_return = self.bytes[line.end] == b'\r';
            at = line.end + 1;
            self.searched = at;
            if self.take_line(line)? {
                break Some(self.dispatch());
            }
        };
        self.bytes.drain(..at);
        self.searched -= at;
        found.transpose()
    }

    /// What is left when the stream has ended.
    pub(super) fn finish(&mut self) -> Result<Option<String>, BadEvent> {
        self.push(b"\n\n");
        self.next()
    }

    /// How long the line is that begins there, if it has ended.
    fn line_len(&mut self, at: usize) -> Result<Option<usize>, BadEvent> {
        let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
        let found = self.bytes[self.searched..].iter().position(is_end);
        let end = self.searched + found.unwrap_or(self.bytes.len() - self.searched);
        self.searched = end;
        if end - at > EVENT_LEN_MAX {
            return Err(BadEvent::TooLong);
        }
        Ok(found.map(|_| end - at))
    }

    /// Takes a line in; whether the event is whole with it.
    fn take_line(&mut self, line: std::ops::Range<usize>) -> Result<bool, BadEvent> {
        let mut line = &self.bytes[line];
        if !std::mem::replace(&mut self.has_begun, true) {
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        if line.is_empty() {
            return Ok(self.has_data);
        }
        let value = match line.strip_prefix(b"data") {
            Some([]) => &[][..],
            Some([b':', b' ', value @ ..] | [b':', value @ ..]) => value,
            _ => return Ok(false),
        };
        if self.data.len() + value.len() > EVENT_LEN_MAX {
            return Err(BadEvent::TooLong);
        }
        if self.has_data {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(value);
        self.has_data = true;
        Ok(false)
    }

    fn dispatch(&mut self) -> Result<String, BadEvent> {
        self.has_data = false;
        String::from_utf8(std::mem::take(&mut self.data)).map_err(|_| BadEvent::NotText)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a stream that comes in pieces of so many bytes.
    fn read(stream: &[u8], piece_len: usize) -> Result<Vec<String>, BadEvent> {
        let mut events = Events::default();
        let mut read = Vec::new();
        for piece in stream.chunks(piece_len) {
            events.push(piece);
            while let Some(event) = events.next()? {
                read.push(event);
            }
        }
        read.extend(events.finish()?);
        Ok(read)
    }

    fn check(stream: &str, expected: &[&str]) {
        for piece_len in [1, 2, 3, 7, 1_000] {
            assert_eq!(
                read(stream.as_bytes(), piece_len).unwrap(),
                expected,
                "{stream:?} {piece_len}"
            );
        }
    }

    #[test]
    fn events_are_read_however_they_come() {
        check("", &[]);
        check("data: a\n\ndata: b\n\n", &["a", "b"]);
        check("data:a\r\n\r\ndata:  b\r\rdata: c\n\n", &["a", " b", "c"]);
        check("data: a\ndata: b\n\n", &["a\nb"]);
        check("data: a\r\ndata: b\r\n\r\ndata: c\rdata: d\r\r", &["a\nb", "c\nd"]);
        check("data\n\ndata:\ndata:\n\n", &["", "\n"]);
        check("\u{feff}data: a\n\n", &["a"]);
        check("data: grüße 🐈\n\n", &["grüße 🐈"]);
        check("data: a\n\ndata: cut", &["a", "cut"]);
    }

    #[test]
    fn what_is_no_data_is_passed_over() {
        check(": ping\n\n\n\nevent: x\nid: 1\nretry: 5\n\ndatabase: x\n\n data: y\n\n", &[]);
        check("event: x\ndata: a\n: note\n\n", &["a"]);
    }

    #[test]
    fn nothing_endless_is_kept() {
        let line = [b"data: ".to_vec(), vec![b'x'; EVENT_LEN_MAX + 1]].concat();
        assert_eq!(read(&line, 1 << 16), Err(BadEvent::TooLong));
        let lines =
            b"data: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n".repeat(EVENT_LEN_MAX / 40);
        assert_eq!(read(&lines, 1 << 16), Err(BadEvent::TooLong));
        let one_less = [b"data: ".to_vec(), vec![b'x'; EVENT_LEN_MAX - 6]].concat();
        assert_eq!(read(&one_less, 1 << 16).unwrap()[0].len(), EVENT_LEN_MAX - 6);
        assert_eq!(read(b"data: \xff\n\n", 10), Err(BadEvent::NotText));
    }
}
