//! Base64 (RFC 4648 section 4), also of bodies that stream.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;

/// Filled up at its end. Bits that say nothing may be anything, as some clients leave them.
const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// One piece, filled up at its end: what the client has got it can decode,
/// whatever comes behind.
pub(crate) fn encode(piece: &[u8]) -> Bytes {
    ENGINE.encode(piece).into()
}

/// Decodes a body piece by piece. A client may fill up in the middle: each group
/// of four letters stands for itself.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// The letters of a group that is not whole yet: three at most.
    left: Vec<u8>,
}

/// It is not base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Decoder {
    /// The bytes that a piece adds.
    pub(crate) fn decode(&mut self, piece: &[u8]) -> Result<Bytes, Malformed> {
        self.left.extend_from_slice(piece);
        let (groups, left) = self.left.as_chunks::<4>();
        let mut decoded = Vec::with_capacity(groups.len() * 3);
        for run in groups.split_inclusive(|group| group[3] == b'=') {
            ENGINE
                .decode_vec(run.as_flattened(), &mut decoded)
                .map_err(|_| Malformed)?;
        }
        let whole = self.left.len() - left.len();
        self.left.drain(..whole);
        Ok(decoded.into())
    }

    /// Whether the body may end here.
    pub(crate) fn is_whole(&self) -> bool {
        self.left.is_empty()
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
