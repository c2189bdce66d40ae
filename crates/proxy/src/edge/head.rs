//! A request's head as it arrives: where it ends, and whether its lines are
//! lines.
//!
//! The HTTP engine accepts some malformed lines: without a carriage return at
//! the end, or with white space in odd places. Two proxies in a row, of which
//! one accepts such lines and the other does not, disagree about where a field
//! or a target ends. So lines are checked here, before the engine sees them.

/// What the bytes of one read were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// The head goes on.
    Open,
    /// The head ended after this many of the bytes.
    Ended(usize),
    /// The first line is not method, target and version with one space between,
    /// or a line does not end with CR and LF (RFC 9112 section 2.2 lets a server
    /// take a bare LF; a proxy in front of it may keep one inside a value).
    Malformed,
}

/// Follows a head across reads, keeping none of it.
#[derive(Debug, Default)]
pub(crate) struct HeadScan {
    first_line: FirstLine,
    line_length: usize,
    carriage_return: bool,
    ended: bool,
    fields: usize,
}

impl HeadScan {
    /// Takes the next bytes.
    ///
    /// Cost: one search for line ends, and a look at each byte of the first
    /// line.
    pub(crate) fn scan(&mut self, bytes: &[u8]) -> Head {
        if self.ended {
            return Head::Ended(bytes.len());
        }
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', bytes) {
            let piece = &bytes[start..end];
            let length = self.line_length + piece.len();
            let carriage_return = match piece.last() {
                Some(last) => *last == b'\r',
                None => self.carriage_return,
            };
            start = end + 1;
            self.line_length = 0;
            self.carriage_return = false;
            if !self.first_line.done {
                if !self.first_line.take(&bytes[end - piece.len()..=end]) {
                    return Head::Malformed;
                }
            } else if !carriage_return {
                return Head::Malformed;
            } else if length == 1 {
                self.ended = true;
                return Head::Ended(end + 1);
            } else {
                self.fields += 1;
            }
        }
        let rest = &bytes[start..];
        if let Some(last) = rest.last() {
            self.carriage_return = *last == b'\r';
        }
        self.line_length += rest.len();
        if !self.first_line.done && !self.first_line.take(rest) {
            return Head::Malformed;
        }
        Head::Open
    }

    /// Lines after the first one that have been seen whole.
    pub(crate) fn fields(&self) -> usize {
        self.fields
    }

    /// Bytes of the first line that have been seen.
    pub(crate) fn first_line_bytes(&self) -> usize {
        self.first_line.length
    }
}

#[derive(Debug, Default)]
struct FirstLine {
    length: usize,
    spaces: u8,
    /// Whether a byte of the method, the target or the version is next.
    begins: bool,
    carriage_return: bool,
    done: bool,
}

impl FirstLine {
    /// Whether the line is still sound after `bytes`.
    fn take(&mut self, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        while let Some(&byte) = rest.first() {
            let plain = rest.iter().take_while(|byte| is_plain(**byte)).count();
            let is_sound = match plain {
                0 => self.take_byte(byte),
                _ => self.take_plain(plain),
            };
            if !is_sound {
                return false;
            }
            rest = &rest[plain.max(1)..];
        }
        true
    }

    /// Takes `count` bytes that decide nothing.
    fn take_plain(&mut self, count: usize) -> bool {
        self.length += count;
        self.begins = false;
        !self.carriage_return
    }

    fn take_byte(&mut self, byte: u8) -> bool {
        // RFC 9112 section 2.2: empty lines before a request are skipped.
        if self.length == 0 && matches!(byte, b'\r' | b'\n') {
            return true;
        }
        let begins = self.begins || self.length == 0;
        self.length += 1;
        self.begins = byte == b' ';
        if begins && matches!(byte, b' ' | b'\r') {
            return false;
        }
        if self.carriage_return && byte != b'\n' {
            return false;
        }
        match byte {
            b'\n' => {
                self.done = true;
                self.spaces == 2 && self.carriage_return
            }
            b'\r' => {
                self.carriage_return = true;
                true
            }
            b' ' => {
                self.spaces += 1;
                self.spaces <= 2
            }
            _ => false,
        }
    }
}

/// A byte of a method, a target or a version: no space and no control character.
fn is_plain(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The outcome over all of `bytes`, given in pieces of `size`.
    fn scan(bytes: &[u8], size: usize) -> Head {
        let mut scan = HeadScan::default();
        let mut before = 0;
        for piece in bytes.chunks(size) {
            match scan.scan(piece) {
                Head::Open => before += piece.len(),
                Head::Ended(at) => return Head::Ended(before + at),
                Head::Malformed => return Head::Malformed,
            }
        }
        Head::Open
    }

    #[test]
    fn the_first_line_and_the_end_are_found_however_the_bytes_arrive() {
        let cases: &[(&[u8], Head)] = &[
            (b"GET / HTTP/1.1\r\nhost: a b\r\n\r\n", Head::Ended(29)),
            (b"GET / HTTP/1.1\r\nhost: a b\r\n\r\nGET /", Head::Ended(29)),
            (b"GET / HTTP/1.1\nhost: a\r\n\r\n", Head::Malformed),
            (b"GET / HTTP/1.1\r\nhost: a\n\r\n", Head::Malformed),
            (b"GET / HTTP/1.1\r\nhost: a\r\n\n", Head::Malformed),
            (b"GET / HTTP/1.1\r\n\r\n", Head::Ended(18)),
            (b"\r\n\r\nGET / HTTP/1.1\r\n\r\n", Head::Ended(22)),
            (b"GET /\xe4\xb8\xad HTTP/1.1\r\n\r\n", Head::Ended(21)),
            (b"GET / HTTP/1.1\r\na: b\r\r\nc: d\r\n\r\n", Head::Ended(31)),
            (b"GET / HTTP/1.1\r\nhost: a\r\n", Head::Open),
            (b"GET / HTTP/1.1\r\nhost: a\r\n\r", Head::Open),
            (b"GET / HTTP/1.1", Head::Open),
            (b"GET /a b HTTP/1.1\r\n\r\n", Head::Malformed),
            (b"GET  / HTTP/1.1\r\n\r\n", Head::Malformed),
            (b"GET / HTTP/1.1 \r\n\r\n", Head::Malformed),
            (b"GET /\ta HTTP/1.1\r\n\r\n", Head::Malformed),
            (b"GET /\0 HTTP/1.1\r\n\r\n", Head::Malformed),
            (b"GET /\x7f HTTP/1.1\r\n\r\n", Head::Malformed),
            (b"GET /a\rb HTTP/1.1\r\n\r\n", Head::Malformed),
            (b"GET /\r\n\r\n", Head::Malformed),
            (b"GET / \r\n\r\n", Head::Malformed),
            (b"GET  HTTP/1.1\r\n\r\n", Head::Malformed),
            (b" / HTTP/1.1\r\n\r\n", Head::Malformed),
            (b"  \r\n\r\n", Head::Malformed),
            (b"hello\r\n", Head::Malformed),
            (b"\x16\x03\x01\x02\x00\x01\x00", Head::Malformed),
        ];
        for (bytes, expected) in cases {
            for size in [1, 2, 3, 7, bytes.len()] {
                assert_eq!(
                    scan(bytes, size),
                    *expected,
                    "by {size}: {}",
                    bytes.escape_ascii()
                );
            }
        }
    }

    #[test]
    fn a_first_line_without_an_end_is_counted() {
        let mut scan = HeadScan::default();
        scan.scan(b"GET /");
        scan.scan(&[b'a'; 100]);
        assert_eq!(scan.first_line_bytes(), 105);
    }

    #[test]
    fn fields_are_counted_without_the_first_line_and_the_last() {
        let bytes = b"GET / HTTP/1.1\r\nhost: a\r\nb: c\r\nd: e\r\n\r\n";
        for size in [1, 2, 3, 7, bytes.len()] {
            let mut scan = HeadScan::default();
            for piece in bytes.chunks(size) {
                scan.scan(piece);
            }
            assert_eq!(scan.fields(), 3, "by {size}");
        }
    }
}
