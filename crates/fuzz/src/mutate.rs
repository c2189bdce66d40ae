//! Inputs out of other inputs.

use fastrand::Rng;

/// Bytes that parsers look for.
const BYTES: &[u8] = b"\r\n\t \0:,;=/?#%&@[]{}\"'\\.*-+09azAZ\x7f\x80\xff";

/// The most changes to one input.
const MAX_CHANGES: usize = 6;

/// Makes inputs out of seeds, the same ones from the same seed of random numbers.
pub(crate) struct Mutator {
    random: Rng,
    words: Vec<Vec<u8>>,
    max_bytes: usize,
}

impl Mutator {
    pub(crate) fn new(seed: u64, words: Vec<Vec<u8>>, max_bytes: usize) -> Mutator {
        Mutator {
            random: Rng::with_seed(seed),
            words,
            max_bytes,
        }
    }

    /// The next input, out of one or two of `kept`.
    pub(crate) fn next(&mut self, kept: &[Vec<u8>]) -> Vec<u8> {
        let mut input = self.one_of(kept).to_vec();
        for _ in 0..self.random.usize(1..=MAX_CHANGES) {
            self.change(&mut input, kept);
        }
        input.truncate(self.max_bytes);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, kept: &[Vec<u8>]) {
        match self.random.u8(0..10) {
            0 => self.flip(input),
            1 => {
                let byte = self.byte();
                self.insert(input, &[byte]);
            }
            2 => {
                let range = self.range(input);
                input.drain(range);
            }
            3 => {
                let range = self.range(input);
                let piece = input[range].to_vec();
                self.insert(input, &piece);
            }
            4 => self.repeat(input),
            5 | 6 if !self.words.is_empty() => {
                let word = self.random.usize(..self.words.len());
                let word = self.words[word].clone();
                self.insert(input, &word);
            }
            7 => {
                let other = self.one_of(kept).to_vec();
                let range = self.range(&other);
                self.insert(input, &other[range]);
            }
            8 => {
                let other = self.one_of(kept).to_vec();
                let at = self.random.usize(..=input.len());
                input.truncate(at);
                let from = self.random.usize(..=other.len());
                input.extend_from_slice(&other[from..]);
            }
            _ => {
                let byte = self.byte();
                let at = self.random.usize(..=input.len());
                match input.get_mut(at) {
                    Some(place) => *place = byte,
                    None => input.push(byte),
                }
            }
        }
    }

    fn one_of<'a>(&mut self, kept: &'a [Vec<u8>]) -> &'a [u8] {
        &kept[self.random.usize(..kept.len())]
    }

    fn byte(&mut self) -> u8 {
        match self.random.bool() {
            true => BYTES[self.random.usize(..BYTES.len())],
            false => self.random.u8(..),
        }
    }

    fn flip(&mut self, input: &mut [u8]) {
        if !input.is_empty() {
            let at = self.random.usize(..input.len());
            input[at] ^= 1 << self.random.u8(..8);
        }
    }

    /// One byte, many times: what is bounded shows where.
    fn repeat(&mut self, input: &mut Vec<u8>) {
        let most = self.max_bytes.saturating_sub(input.len()).min(300);
        let piece = vec![self.byte(); self.random.usize(..=most)];
        self.insert(input, &piece);
    }

    fn insert(&mut self, input: &mut Vec<u8>, piece: &[u8]) {
        let at = self.random.usize(..=input.len());
        input.splice(at..at, piece.iter().copied());
    }

    /// Short ranges more often than long ones.
    fn range(&mut self, input: &[u8]) -> std::ops::Range<usize> {
        let from = self.random.usize(..=input.len());
        let rest = input.len() - from;
        let most = if self.random.u8(0..4) == 0 {
            rest
        } else {
            rest.min(16)
        };
        from..from + self.random.usize(..=most)
    }
}
