//! Small inputs out of large ones that fail.

/// The most tries for one input.
const TRIES: usize = 5000;

/// Takes away from an input what its failure does not need.
pub(crate) fn shrink(input: &[u8], fails: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut small = input.to_vec();
    let mut tries = 0;
    let mut size = small.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        let mut has_shrunk = false;
        while at < small.len() && tries < TRIES {
            tries += 1;
            let end = (at + size).min(small.len());
            let without = [&small[..at], &small[end..]].concat();
            if fails(&without) {
                small = without;
                has_shrunk = true;
            } else {
                at = end;
            }
        }
        if tries >= TRIES || (size == 1 && !has_shrunk) {
            return small;
        }
        size = size.div_ceil(2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_fails_is_left() {
        let input = [&[b'x'; 500][..], b"a", &[b'y'; 77], b"b"].concat();
        let fails = |input: &[u8]| input.contains(&b'a') && input.contains(&b'b');
        assert_eq!(shrink(&input, fails), b"ab");
        assert_eq!(shrink(b"", |_| true), b"");
    }
}
