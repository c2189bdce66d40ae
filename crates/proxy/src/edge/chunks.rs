//! A chunked body as it arrives: where it ends, and whether it is one.
//!
//! The HTTP engine accepts some malformed extensions. Two proxies in a row, of
//! which one guesses and the other does not, disagree about where the next
//! request begins. So the framing is checked against RFC 9112 section 7.1
//! before the engine sees it.

/// The longest line with a chunk's size. Nobody uses extensions.
const SIZE_LINE_BYTES: usize = 1024;
/// The most bytes of all trailers together.
const TRAILER_BYTES: usize = 8192;

/// What the bytes of one read were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chunks {
    /// The body goes on.
    Open,
    /// The body ended after this many of the bytes.
    Ended(usize),
    /// Not chunks.
    Malformed,
}

/// Follows a chunked body across reads, keeping none of it.
#[derive(Debug, Default)]
pub(crate) struct ChunkScan {
    next: Next,
    /// Bytes left of the chunk, or the size as far as it has been read.
    size: u64,
    /// Bytes of the size line or of the trailers so far.
    length: usize,
}

/// What the next byte is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Next {
    #[default]
    Size,
    /// The first byte of an extension's name, or white space before it.
    ExtensionName,
    Extension,
    /// White space after the size, before an extension or the end.
    SizeSpace,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// The first byte of a line after the last chunk.
    Trailer,
    InTrailer,
    TrailerLf,
    LastLf,
}

impl ChunkScan {
    /// Takes the next bytes. Data is skipped, not looked at.
    pub(crate) fn scan(&mut self, bytes: &[u8]) -> Chunks {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if self.next == Next::Data {
                let rest = bytes.len() - at;
                let taken = usize::try_from(self.size).unwrap_or(rest).min(rest);
                self.size -= taken as u64;
                at += taken;
                if self.size == 0 {
                    self.next = Next::DataCr;
                }
                continue;
            }
            at += 1;
            if self.next == Next::LastLf && byte == b'\n' {
                return Chunks::Ended(at);
            }
            let Some(next) = self.after(byte) else {
                return Chunks::Malformed;
            };
            self.next = next;
        }
        Chunks::Open
    }

    /// What comes after a byte that is not data; `None` if that byte is malformed.
    fn after(&mut self, byte: u8) -> Option<Next> {
        self.length += 1;
        let next = match (self.next, byte) {
            (Next::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16)?;
                self.size = self.size.checked_mul(16)? + u64::from(digit);
                Next::Size
            }
            (Next::Size, _) if self.length == 1 => return None,
            (Next::Size | Next::SizeSpace | Next::Extension, b'\r') => Next::SizeLf,
            (Next::Size | Next::SizeSpace, b' ' | b'\t') => Next::SizeSpace,
            (Next::Size | Next::SizeSpace, b';') => Next::ExtensionName,
            (Next::ExtensionName, b' ' | b'\t') => Next::ExtensionName,
            (Next::ExtensionName, byte) if is_token_byte(byte) => Next::Extension,
            (Next::Extension, b';') => Next::ExtensionName,
            (Next::Extension, b'\t' | b' '..=b'~' | 0x80..) => Next::Extension,
            (Next::SizeLf, b'\n') => {
                self.length = 0;
                match self.size {
                    0 => Next::Trailer,
                    _ => Next::Data,
                }
            }
            (Next::DataCr, b'\r') => Next::DataLf,
            (Next::DataLf, b'\n') => {
                self.length = 0;
                Next::Size
            }
            (Next::Trailer, b'\r') => Next::LastLf,
            (Next::InTrailer, b'\r') => Next::TrailerLf,
            (Next::Trailer | Next::InTrailer, b'\t' | b' '..=b'~' | 0x80..) => Next::InTrailer,
            (Next::TrailerLf, b'\n') => Next::Trailer,
            _ => return None,
        };
        let limit = match next {
            Next::Size | Next::SizeSpace | Next::ExtensionName | Next::Extension => SIZE_LINE_BYTES,
            _ => TRAILER_BYTES,
        };
        (self.length <= limit).then_some(next)
    }
}

/// RFC 9110 section 5.6.2.
pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The outcome over all of `bytes`, given in pieces of `size`.
    fn scan(bytes: &[u8], size: usize) -> Chunks {
        let mut scan = ChunkScan::default();
        let mut before = 0;
        while before < bytes.len() {
            let piece = &bytes[before..bytes.len().min(before + size)];
            match scan.scan(piece) {
                Chunks::Open => before += piece.len(),
                Chunks::Ended(at) => return Chunks::Ended(before + at),
                Chunks::Malformed => return Chunks::Malformed,
            }
        }
        Chunks::Open
    }

    #[test]
    fn the_end_is_found_and_what_is_not_chunks_is_refused_however_the_bytes_arrive() {
        let long_extension = [b"1;", &[b'x'; 2000][..], b"\r\na\r\n0\r\n\r\n"].concat();
        let long_trailer = [b"0\r\na: ", &[b'x'; 9000][..], b"\r\n\r\n"].concat();
        let cases: &[(&[u8], Chunks)] = &[
            (b"0\r\n\r\n", Chunks::Ended(5)),
            (b"3\r\nabc\r\n0\r\n\r\nGET /", Chunks::Ended(13)),
            (b"0003\r\nabc\r\n000\r\n\r\n", Chunks::Ended(18)),
            (b"A\r\n0123456789\r\n0\r\n\r\n", Chunks::Ended(20)),
            (b"3;a=b\r\nabc\r\n0 ;c\r\n\r\n", Chunks::Ended(20)),
            (b"1\r\n\n\r\n0\r\n\r\n", Chunks::Ended(11)),
            (b"3;a;b=\"c d\"\r\nabc\r\n0\r\n\r\n", Chunks::Ended(23)),
            (b"3 \r\nabc\r\n0\r\n\r\n", Chunks::Ended(14)),
            (b"0\r\na: b\r\nc: d\r\n\r\n", Chunks::Ended(17)),
            (b"3\r\nabc\r\n0\r\n", Chunks::Open),
            (b"ffffffffffffffff\r\nabc", Chunks::Open),
            (b"\r\n\r\n", Chunks::Malformed),
            (b"3\r\nabc\r\n\r\n", Chunks::Malformed),
            (b"3\nabc\r\n0\r\n\r\n", Chunks::Malformed),
            (b"3\r\nabc\n0\r\n\r\n", Chunks::Malformed),
            (b"3\r\nabcd\r\n0\r\n\r\n", Chunks::Malformed),
            (b"3\r\nabc0\r\n\r\n", Chunks::Malformed),
            (b"3\r\nabc\r\n0\r\n\n", Chunks::Malformed),
            (b"0\r\na: b\n\r\n", Chunks::Malformed),
            (b"+3\r\nabc\r\n0\r\n\r\n", Chunks::Malformed),
            (b" 3\r\nabc\r\n0\r\n\r\n", Chunks::Malformed),
            (b"0x3\r\nabc\r\n0\r\n\r\n", Chunks::Malformed),
            (b"-1\r\nabc\r\n0\r\n\r\n", Chunks::Malformed),
            (b"3;\r\nabc\r\n0\r\n\r\n", Chunks::Malformed),
            (b"3; \r\nabc\r\n0\r\n\r\n", Chunks::Malformed),
            (b"3;a;\r\nabc\r\n0\r\n\r\n", Chunks::Malformed),
            (b"3;=a\r\nabc\r\n0\r\n\r\n", Chunks::Malformed),
            (b"3 a\r\nabc\r\n0\r\n\r\n", Chunks::Malformed),
            (b"3;a\0\r\nabc\r\n0\r\n\r\n", Chunks::Malformed),
            (b"3\r\r\nabc\r\n0\r\n\r\n", Chunks::Malformed),
            (b"10000000000000000\r\n", Chunks::Malformed),
            (&long_extension, Chunks::Malformed),
            (&long_trailer, Chunks::Malformed),
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
}
