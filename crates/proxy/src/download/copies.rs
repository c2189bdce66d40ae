//! Copies that steps take of a body as it passes.

use bytes::{Bytes, BytesMut};
use http_body::Frame;
use pailou_filters::Copying;

/// The copies of one body. In a box where there are any, since most bodies have
/// none.
#[derive(Debug, Default)]
pub(super) struct Copies(Vec<Copy>);

#[derive(Debug)]
struct Copy {
    copying: Box<dyn Copying>,
    bytes: BytesMut,
}

impl Copies {
    pub(super) fn add(&mut self, copying: Box<dyn Copying>) {
        self.0.push(Copy {
            copying,
            bytes: BytesMut::new(),
        });
    }

    /// Copies a frame. A copy that grows too long is given up. When trailers come, all
    /// copies are given up, since no copy can have trailers.
    pub(super) fn take(&mut self, frame: &Frame<Bytes>) {
        let Some(piece) = frame.data_ref() else {
            self.0.clear();
            return;
        };
        self.0.retain_mut(|copy| {
            copy.bytes.extend_from_slice(piece);
            copy.bytes.len() <= copy.copying.most_bytes()
        });
    }

    /// Hands the copies over, since the body is whole.
    pub(super) fn keep(self) {
        for copy in self.0 {
            copy.copying.keep(copy.bytes.freeze());
        }
    }
}
