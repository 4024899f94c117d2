//! Messages out of a TCP stream (RFC 6587): each with its length in front (§3.4.1), or ended by a
//! line feed (§3.4.2). Senders do not say which, and a stream may change, so each message is looked
//! at: a length, a space and `<` is octet counting, all else is a line.

use super::stamp::digits;

/// A length has no more digits, or the stream is none of syslog.
const LENGTH_DIGITS_MAX: usize = 7;

/// A length above this ends the stream: what would be skipped is more than any message.
const LENGTH_MAX: usize = 1 << 20;

/// The stream cannot be read on: a length beyond all bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadLength;

/// Takes a stream apart. Holds at most one message, cut at the limit and one byte, by which whoever
/// gets it sees that it is longer.
#[derive(Debug)]
pub struct Framer {
    bytes_max: usize,
    message: Vec<u8>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the start of a message; `message` has what may be a length.
    Start,
    /// So many bytes of a counted message are still to come.
    Counted(usize),
    Line,
}

// === impl Framer ===

impl Framer {
    pub fn new(bytes_max: usize) -> Framer {
        Framer { bytes_max, message: Vec::new(), state: State::Start }
    }

    /// What has come of a message that has not ended.
    pub fn unfinished(&self) -> &[u8] {
        &self.message
    }

    /// Takes in what the stream brought; `each` gets the messages that ended.
    pub fn push(&mut self, bytes: &[u8], each: &mut dyn FnMut(&[u8])) -> Result<(), BadLength> {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = match self.state {
                State::Start => self.start(rest)?,
                State::Counted(left) => self.counted(rest, left, each),
                State::Line => self.line(rest, each),
            };
        }
        Ok(())
    }

    /// One byte of what may be a length. Empty lines between messages are no messages.
    fn start<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], BadLength> {
        let Some((&byte, rest)) = bytes.split_first() else {
            return Ok(bytes);
        };
        if self.message.is_empty() && matches!(byte, b'\n' | b'\r' | b'\0') {
            return Ok(rest);
        }
        let len = self.message.len();
        let is_spaced = self.message.last() == Some(&b' ');
        match byte {
            b'0'..=b'9' if !is_spaced && len < LENGTH_DIGITS_MAX => self.message.push(byte),
            b' ' if len > 0 && !is_spaced => self.message.push(byte),
            b'<' if is_spaced => {
                self.state = State::Counted(length(&self.message)?);
                self.message.clear();
                return Ok(bytes);
            }
            _ => {
                self.state = State::Line;
                return Ok(bytes);
            }
        }
        Ok(rest)
    }

    fn counted<'a>(
        &mut self,
        bytes: &'a [u8],
        left: usize,
        each: &mut dyn FnMut(&[u8]),
    ) -> &'a [u8] {
        let (part, rest) = bytes.split_at(left.min(bytes.len()));
        self.keep(part);
        self.state = State::Counted(left - part.len());
        if left == part.len() {
            self.end(each);
        }
        rest
    }

    fn line<'a>(&mut self, bytes: &'a [u8], each: &mut dyn FnMut(&[u8])) -> &'a [u8] {
        let Some(end) = bytes.iter().position(|&byte| matches!(byte, b'\n' | b'\0')) else {
            self.keep(bytes);
            return &[];
        };
        self.keep(&bytes[..end]);
        self.end(each);
        &bytes[end + 1..]
    }

    fn keep(&mut self, part: &[u8]) {
        let room = (self.bytes_max + 1).saturating_sub(self.message.len());
        self.message.extend_from_slice(&part[..room.min(part.len())]);
    }

    fn end(&mut self, each: &mut dyn FnMut(&[u8])) {
        each(&self.message);
        self.message.clear();
        self.state = State::Start;
    }
}

/// Digits and a space.
fn length(text: &[u8]) -> Result<usize, BadLength> {
    let text = std::str::from_utf8(text).map_err(|_| BadLength)?;
    let number = text.get(..digits(text)).and_then(|number| number.parse().ok());
    number.filter(|length| (1..=LENGTH_MAX).contains(length)).ok_or(BadLength)
}
