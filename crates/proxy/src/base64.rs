//! Base64 (RFC 4648 section 4), also of bodies that stream.

use bytes::{BufMut, Bytes, BytesMut};

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// One piece, filled up at its end: what the client has got it can decode,
/// whatever comes behind.
pub(crate) fn encode(piece: &[u8]) -> Bytes {
    let mut encoded = BytesMut::with_capacity(piece.len().div_ceil(3) * 4);
    for three in piece.chunks(3) {
        let byte = |place: usize| u32::from(three.get(place).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place)) as usize & 63];
            encoded.put_u8(if place > three.len() { b'=' } else { letter });
        }
    }
    encoded.freeze()
}

/// Decodes a body piece by piece. A client may fill up in the middle: each group
/// of four letters stands for itself.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    bits: u32,
    letters: u8,
    fillers: u8,
}

/// It is not base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Decoder {
    /// The bytes that a piece adds.
    pub(crate) fn decode(&mut self, piece: &[u8]) -> Result<Bytes, Malformed> {
        let mut decoded = BytesMut::with_capacity(piece.len() / 4 * 3 + 3);
        for letter in piece {
            self.take(*letter)?;
            if self.letters + self.fillers == 4 {
                let bytes = self.bits.to_be_bytes();
                decoded.extend_from_slice(&bytes[1..4 - usize::from(self.fillers)]);
                *self = Decoder::default();
            }
        }
        Ok(decoded.freeze())
    }

    /// Whether the body may end here.
    pub(crate) fn is_whole(&self) -> bool {
        self.letters == 0
    }

    fn take(&mut self, letter: u8) -> Result<(), Malformed> {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' if self.letters >= 2 => {
                self.bits <<= 6;
                self.fillers += 1;
                return Ok(());
            }
            _ => return Err(Malformed),
        };
        if self.fillers > 0 {
            return Err(Malformed);
        }
        self.bits = self.bits << 6 | u32::from(value);
        self.letters += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(text: &[u8], size: usize) -> Result<Vec<u8>, Malformed> {
        let mut decoder = Decoder::default();
        let mut decoded = Vec::new();
        for piece in text.chunks(size) {
            decoded.extend_from_slice(&decoder.decode(piece)?);
        }
        match decoder.is_whole() {
            true => Ok(decoded),
            false => Err(Malformed),
        }
    }

    #[test]
    fn the_examples_of_rfc_4648_hold() {
        for (plain, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(plain.as_bytes()), text);
            assert_eq!(decode(text.as_bytes(), 3), Ok(plain.into()), "{text}");
        }
    }

    #[test]
    fn what_is_no_base64_is_malformed() {
        for text in [
            "Zg",
            "Z",
            "Z===",
            "====",
            "Zg=a",
            "Zm9v Zm9v",
            "Zm9v\n",
            "Zm-_",
            "Zg=",
            "Zm9v=",
        ] {
            assert_eq!(decode(text.as_bytes(), 2), Err(Malformed), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_in_pieces_is_decoded_in_other_pieces(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..8),
            size in 1..9_usize,
        ) {
            let text: Vec<u8> = pieces.iter().flat_map(|piece| encode(piece)).collect();
            prop_assert_eq!(decode(&text, size), Ok(pieces.concat()));
        }
    }
}
