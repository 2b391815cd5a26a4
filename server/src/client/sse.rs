//! Server-sent events, as they come out of a stream of bytes.
//!
//! Promises: an event is given once it is complete, however the bytes were cut; an event has a bound.
//! Does not: keep ids or reconnect.

/// Longest event, in bytes.
const EVENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its name; `message` when it has none.
    pub(crate) name: String,
    pub(crate) data: String,
}

/// The reader.
#[derive(Debug, Default)]
pub(crate) struct Events {
    line: Vec<u8>,
    after_return: bool,
    name: String,
    data: Vec<String>,
    bytes: usize,
}

/// An event that is too long.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

impl std::fmt::Display for TooLong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the service sent an event of more than {EVENT_BYTES_MAX} bytes")
    }
}

impl std::error::Error for TooLong {}

impl Events {
    /// Takes the next bytes and gives the events that they complete.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLong> {
        let mut events = Vec::new();
        for &byte in bytes {
            let ends = byte == b'\r' || byte == b'\n';
            // The second half of a line end was counted with the first.
            if byte == b'\n' && std::mem::take(&mut self.after_return) {
                continue;
            }
            self.after_return = byte == b'\r';
            if !ends {
                self.line.push(byte);
                self.bytes += 1;
                if self.bytes > EVENT_BYTES_MAX {
                    return Err(TooLong);
                }
                continue;
            }
            let line = std::mem::take(&mut self.line);
            events.extend(self.line(&String::from_utf8_lossy(&line)));
        }
        Ok(events)
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
            self.bytes = 0;
            let name = if name.is_empty() { "message".to_owned() } else { name };
            return (!data.is_empty()).then(|| Event { name, data: data.join("\n") });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.name = value.to_owned(),
            "data" => self.data.push(value.to_owned()),
            // Comments, ids and pauses are of no use here.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, data: &str) -> Event {
        Event { name: name.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn events_do_not_depend_on_how_the_bytes_were_cut() {
        let text =
            ": hello\n\nevent: progress\ndata: {\"a\":1}\n\nid: 7\r\ndata: x\r\ndata: y\r\n\r\ndata: half".as_bytes();
        let expected = [event("progress", "{\"a\":1}"), event("message", "x\ny")];
        for size in 1..text.len() {
            let mut events = Events::default();
            let mut found = Vec::new();
            for part in text.chunks(size) {
                found.extend(events.feed(part).unwrap());
            }
            assert_eq!(found, expected, "in parts of {size}");
        }
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut events = Events::default();
        let part = vec![b'x'; 1024 * 1024];
        assert!((0..=16).any(|_| events.feed(&part) == Err(TooLong)));
    }
}
