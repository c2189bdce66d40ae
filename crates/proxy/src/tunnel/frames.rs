//! Where one frame of a WebSocket ends and the next begins (RFC 6455 section 5.2).

/// The opcode of a Close frame.
const CLOSE: u8 = 8;

/// What a control frame has in its first byte, beside `FIN`. Such a frame is whole
/// and short (RFC 6455 section 5.5).
const CONTROL: u8 = 0x08;
const FIN: u8 = 0x80;
const MOST_OF_CONTROL: u8 = 125;

/// Follows the frames of one direction, in whatever pieces their bytes come.
/// Nothing of them is kept.
#[derive(Debug, Default)]
pub(super) struct Frames {
    at: At,
    /// The first byte of the frame under way.
    first: u8,
    has_closed: bool,
}

/// What comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// A frame.
    #[default]
    Between,
    /// The mask bit and the length.
    Second,
    /// So many bytes of a longer length, of which this much has come. `mask` is
    /// the size of the mask that follows.
    Length { missing: u8, length: u64, mask: u64 },
    /// So many bytes of the frame.
    Rest(u64),
    /// Unknown, since what came is no frame.
    Lost,
}

impl Frames {
    /// Follows bytes to the first end of a frame, and returns how many those are. If no
    /// frame ends, these are all bytes.
    pub(super) fn follow_one(&mut self, bytes: &[u8]) -> usize {
        let mut followed = 0;
        while followed < bytes.len() {
            followed += self.step(&bytes[followed..]);
            if self.at == At::Between {
                self.has_closed |= self.first & 0x0f == CLOSE;
                break;
            }
        }
        followed
    }

    /// Follows all of these bytes.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = &bytes[self.follow_one(bytes)..];
        }
    }

    /// Whether the last frame is whole: another one may come behind it.
    pub(super) fn is_between(&self) -> bool {
        self.at == At::Between
    }

    /// Whether a Close frame has come. There is none behind it.
    pub(super) fn has_closed(&self) -> bool {
        self.has_closed
    }

    /// Takes one field of a frame, or a part of it. Returns its number of bytes, at
    /// least one.
    fn step(&mut self, bytes: &[u8]) -> usize {
        let byte = bytes[0];
        match self.at {
            At::Between => {
                self.first = byte;
                self.at = At::Second;
            }
            At::Second => self.at = after_second(self.first, byte),
            At::Length {
                missing,
                length,
                mask,
            } => {
                let length = length << 8 | u64::from(byte);
                self.at = after_length(missing - 1, length, mask);
            }
            At::Rest(left) => {
                let here = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                self.at = rest(left - here as u64);
                return here;
            }
            At::Lost => return bytes.len(),
        }
        1
    }
}

fn after_second(first: u8, second: u8) -> At {
    let (mask, length) = (u64::from(second >> 7) * 4, second & 0x7f);
    if first & CONTROL != 0 && (first & FIN == 0 || length > MOST_OF_CONTROL) {
        return At::Lost;
    }
    let missing = match length {
        126 => 2,
        127 => 8,
        _ => return rest(mask + u64::from(length)),
    };
    At::Length {
        missing,
        length: 0,
        mask,
    }
}

fn after_length(missing: u8, length: u64, mask: u64) -> At {
    if missing > 0 {
        return At::Length {
            missing,
            length,
            mask,
        };
    }
    match length.checked_add(mask).filter(|_| length >> 63 == 0) {
        Some(left) => rest(left),
        None => At::Lost,
    }
}

fn rest(left: u64) -> At {
    match left {
        0 => At::Between,
        left => At::Rest(left),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A frame with this first byte, whose length has so many bytes of its own.
    fn frame(first: u8, long: usize, is_masked: bool, payload: usize) -> Vec<u8> {
        let mask = if is_masked { 0x80 } else { 0 };
        let mut frame = vec![first];
        match long {
            0 => frame.push(mask | u8::try_from(payload).expect("short")),
            2 => {
                frame.push(mask | 126);
                frame.extend(u16::try_from(payload).expect("short").to_be_bytes());
            }
            _ => {
                frame.push(mask | 127);
                frame.extend((payload as u64).to_be_bytes());
            }
        }
        // A payload that looks like frames.
        let mask = if is_masked { 4 } else { 0 };
        frame.extend(std::iter::repeat_n(0x88, mask + payload));
        frame
    }

    fn all() -> Vec<Vec<u8>> {
        let kinds = [(0x81, 0), (0x02, 0), (0x82, 2), (0xc2, 8), (0x80, 2)];
        let mut frames: Vec<Vec<u8>> = [false, true]
            .into_iter()
            .flat_map(|is_masked| {
                kinds.map(|(first, long)| {
                    let payload = if long == 0 { 5 } else { 130 };
                    frame(first, long, is_masked, payload)
                })
            })
            .collect();
        frames.push(frame(0x89, 0, true, 125));
        frames.push(frame(0x81, 0, false, 0));
        frames.push(frame(0x81, 0, true, 0));
        frames.push(frame(0x88, 0, true, 2));
        frames
    }

    /// The places where frames end, of bytes that come in these pieces.
    fn ends<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<usize>, bool) {
        let mut frames = Frames::default();
        let (mut at, mut ends) = (0, Vec::new());
        for mut piece in pieces {
            while !piece.is_empty() {
                let followed = frames.follow_one(piece);
                at += followed;
                piece = &piece[followed..];
                if frames.is_between() {
                    ends.push(at);
                }
            }
        }
        (ends, frames.has_closed())
    }

    #[test]
    fn frames_end_where_they_do_in_whatever_pieces_they_come() {
        let frames = all();
        let bytes = frames.concat();
        let mut at = 0;
        let expected: Vec<usize> = frames
            .iter()
            .map(|frame| {
                at += frame.len();
                at
            })
            .collect();
        let expected = (expected, true);
        for split in 0..=bytes.len() {
            let (one, other) = bytes.split_at(split);
            assert_eq!(ends([one, other]), expected, "at {split}");
        }
        for size in 1..20 {
            assert_eq!(ends(bytes.chunks(size)), expected, "pieces of {size}");
        }
    }

    #[test]
    fn only_a_whole_close_frame_is_one() {
        let close = frame(0x88, 0, true, 2);
        for split in 0..close.len() {
            assert_eq!(ends([&close[..split]]), (vec![], false), "{split}");
        }
        assert_eq!(ends([&close[..]]), (vec![close.len()], true));
        let ping = frame(0x89, 0, true, 2);
        assert_eq!(ends([&ping[..]]), (vec![ping.len()], false));
    }

    #[test]
    fn what_is_no_frame_has_no_end() {
        let whole = frame(0x81, 0, false, 3);
        for odd in [
            // A control frame that is a part, or long.
            &[0x08, 0x00][..],
            &[0x88, 126, 0, 1, 0],
            &[0x89, 127, 0, 0, 0, 0, 0, 0, 0, 1, 0],
            // A length with its highest bit set.
            &[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0],
            &[0x82, 255, 255, 255, 255, 255, 255, 255, 255, 255],
        ] {
            let bytes = [&whole, odd, &whole, &[0x88, 0]].concat();
            let expected = (vec![whole.len()], false);
            assert_eq!(ends([&bytes[..]]), expected, "{odd:?}");
            assert_eq!(ends(bytes.chunks(1)), expected, "{odd:?}");
        }
        let most = [0x82, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255];
        let mut frames = Frames::default();
        frames.follow(&most);
        assert!(frames.at == At::Rest((1 << 63) - 1 + 4));
    }

    proptest! {
        #[test]
        fn any_bytes_mean_the_same_in_any_pieces(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            size in 1..50_usize,
        ) {
            prop_assert_eq!(ends(bytes.chunks(size)), ends([&bytes[..]]));
        }
    }
}
