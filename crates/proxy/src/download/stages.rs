//! What steps do with a body as it passes.

use super::copies::Copies;
use super::encoding::Encoding;

/// What is done with one body, in this order. In a box where there is any, since most bodies pass as they are.
#[derive(Debug, Default)]
pub(super) struct Stages {
    /// Copies of it as it came.
    pub(super) copies: Copies,
    /// How it is encoded.
    pub(super) encoding: Option<Encoding>,
}
