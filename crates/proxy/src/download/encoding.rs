//! A body that is encoded as it passes.

use std::io;

use bytes::Bytes;
use http_body::Frame;
use pailou_filters::{Copying, Encoder};

use super::copies::Copies;

/// So many bytes go into the encoder at once. It bounds what comes out at once, and how long a worker is busy with it.
const PIECE_BYTES: usize = 32 << 10;

/// The encoder of one body, and what is on its way through it.
#[derive(Debug)]
pub(super) struct Encoding {
    encoder: Encoder,
    /// What the endpoint has sent and the encoder has not seen.
    rest: Bytes,
    /// What follows the body.
    trailers: Option<Frame<Bytes>>,
    /// Copies of the encoded body.
    copies: Copies,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The endpoint may send more.
    Open,
    /// It has sent all; the end of the encoding is to come.
    Ending,
    /// Only trailers may be to come.
    Ended,
}

impl Encoding {
    pub(super) fn new(encoder: Encoder) -> Encoding {
        Encoding {
            encoder,
            rest: Bytes::new(),
            trailers: None,
            copies: Copies::default(),
            state: State::Open,
        }
    }

    /// Lets a step take a copy of what comes out.
    pub(super) fn copy(&mut self, copying: Box<dyn Copying>) {
        self.copies.add(copying);
    }

    /// Takes a frame of the endpoint's.
    pub(super) fn take(&mut self, frame: Frame<Bytes>) {
        match frame.into_data() {
            Ok(piece) => self.rest = piece,
            Err(trailers) => {
                self.trailers = Some(trailers);
                self.state = State::Ending;
            }
        }
    }

    /// The endpoint has sent all.
    pub(super) fn end(&mut self) {
        if self.state == State::Open {
            self.state = State::Ending;
        }
    }

    /// Whether nothing more comes out.
    pub(super) fn is_over(&self) -> bool {
        self.state == State::Ended && self.trailers.is_none()
    }

    /// What comes out without more of the endpoint's.
    pub(super) fn next(&mut self) -> io::Result<Option<Frame<Bytes>>> {
        while !self.rest.is_empty() {
            let piece = self.rest.split_to(self.rest.len().min(PIECE_BYTES));
            let out = self.encoder.write(&piece)?;
            if !out.is_empty() {
                return Ok(Some(self.out(Frame::data(out))));
            }
        }
        if self.state == State::Ending {
            self.state = State::Ended;
            let out = self.encoder.finish()?;
            let frame = self.out(Frame::data(out));
            if self.trailers.is_none() {
                std::mem::take(&mut self.copies).keep();
            }
            return Ok(Some(frame));
        }
        // No copy can have trailers.
        Ok(self.trailers.take())
    }

    /// What the encoder still holds, since the endpoint pauses.
    pub(super) fn flush(&mut self) -> io::Result<Option<Frame<Bytes>>> {
        let out = self.encoder.flush()?;
        Ok((!out.is_empty()).then(|| self.out(Frame::data(out))))
    }

    fn out(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        self.copies.take(&frame);
        frame
    }
}
