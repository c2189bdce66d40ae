//! The steps that a route runs.

use std::any::Any;
use std::sync::Arc;

use crate::{Body, Copying, Encoder, Note, ResponseHead, Step};

/// A route's filters, in the order of its document.
///
/// Requests pass them first to last. Responses pass them last to first: each
/// sees what the filters after it in the document made of the response.
#[derive(Debug, Default)]
pub struct Chain {
    steps: Vec<Step>,
    /// The name of the filter that each step comes from.
    names: Vec<Arc<str>>,
}

impl Chain {
    /// A chain of compiled filters without their names.
    pub fn new(steps: Vec<Step>) -> Chain {
        Chain::named(steps.into_iter().map(|step| (Arc::from(""), step)))
    }

    /// A chain of compiled filters by name. A filter may have several steps.
    pub fn named(steps: impl IntoIterator<Item = (Arc<str>, Step)>) -> Chain {
        let (names, steps) = steps.into_iter().unzip();
        Chain { steps, names }
    }

    /// The steps with the names of their filters, first to last.
    pub fn named_steps(&self) -> impl Iterator<Item = (&str, &Step)> {
        let names = self.names.iter().map(|name| &**name);
        names.zip(&self.steps)
    }

    /// The steps, first to last.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The response half of the first `passed` steps, which are those that the
    /// request has passed; `notes` are theirs, each with the place of its step.
    pub fn response<'a>(&'a self, passed: usize, notes: &'a [(usize, Note)]) -> ResponseHalf<'a> {
        let passed = passed.min(self.steps.len());
        ResponseHalf {
            steps: self.steps.get(..passed).unwrap_or_default(),
            notes,
        }
    }
}

/// What a step wants from a response's body.
#[derive(Debug)]
pub enum Wish<'a> {
    /// All of it, to change it; at most so many bytes.
    Whole(&'a dyn Body, usize),
    /// To encode it, while it streams. The head is that of the encoded body already.
    Encode(Encoder),
    /// A copy, while it streams.
    Copy(Box<dyn Copying>),
}

/// The steps that a response has still to pass.
///
/// ```
/// use http::{HeaderMap, StatusCode};
/// use pailou_filters::{Chain, Edit, Facts, ResponseHead, Step};
///
/// #[derive(Debug)]
/// struct Hide;
/// impl Edit for Hide {
///     fn response(&self, head: &mut ResponseHead<'_>) {
///         head.status = StatusCode::NOT_FOUND;
///     }
/// }
///
/// let chain = Chain::new(vec![Step::Edit(Box::new(Hide))]);
/// let mut headers = HeaderMap::new();
/// let facts = Facts::default();
/// let mut head = ResponseHead { facts: &facts, note: None, status: StatusCode::FORBIDDEN, headers: &mut headers };
/// assert!(chain.response(1, &[]).run(&mut head).is_none(), "no step wants the body");
/// assert_eq!(head.status, StatusCode::NOT_FOUND);
/// ```
#[derive(Debug)]
pub struct ResponseHalf<'a> {
    steps: &'a [Step],
    notes: &'a [(usize, Note)],
}

impl<'a> ResponseHalf<'a> {
    /// Runs the steps up to the next one that wants the body. Call this again once that
    /// step has the body.
    pub fn run(&mut self, head: &mut ResponseHead<'_>) -> Option<Wish<'a>> {
        while let Some((last, before)) = self.steps.split_last() {
            self.steps = before;
            let mut view = ResponseHead {
                facts: head.facts,
                note: self.note(before.len()),
                status: head.status,
                headers: head.headers,
            };
            match last {
                Step::Edit(edit) => edit.response(&mut view),
                Step::Gate(gate) => gate.response(&mut view),
                Step::Rule(_) | Step::Breaker(_) | Step::Mirror(_) => {}
                Step::Body(body) => {
                    if let Some(most) = body.wants(&view) {
                        return Some(Wish::Whole(&**body, most));
                    }
                }
                Step::Compress(compress) => {
                    if let Some(encoder) = compress.response(&mut view) {
                        return Some(Wish::Encode(encoder));
                    }
                }
                Step::Keep(keep) => {
                    let copying = keep.response(&mut view);
                    head.status = view.status;
                    if let Some(copying) = copying {
                        return Some(Wish::Copy(copying));
                    }
                }
            }
            head.status = view.status;
        }
        None
    }

    /// What the step at a place wrote down.
    fn note(&self, place: usize) -> Option<&'a (dyn Any + Send + Sync)> {
        let noted = self.notes.iter().find(|(known, _)| *known == place);
        noted.map(|(_, note)| &**note)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::*;
    use crate::registry::tests::facts;
    use crate::{Edit, RequestHead};

    #[derive(Debug)]
    struct Mark(&'static str);

    impl Edit for Mark {
        fn response(&self, head: &mut ResponseHead<'_>) {
            head.headers
                .append("x-ran", HeaderValue::from_static(self.0));
        }
    }

    #[derive(Debug)]
    struct Shout;

    impl Body for Shout {
        fn request(&self, _head: &mut RequestHead<'_>) {}

        fn wants(&self, head: &ResponseHead<'_>) -> Option<usize> {
            (head.status == StatusCode::OK).then_some(10)
        }

        fn rewrite(&self, head: &mut ResponseHead<'_>, body: Bytes) -> Bytes {
            head.headers
                .append("x-ran", HeaderValue::from_static("body"));
            body
        }
    }

    fn chain() -> Chain {
        Chain::new(vec![
            Step::Edit(Box::new(Mark("a"))),
            Step::Body(Box::new(Shout)),
            Step::Edit(Box::new(Mark("b"))),
        ])
    }

    fn ran(status: StatusCode, passed: usize) -> (Vec<String>, usize) {
        let mut headers = HeaderMap::new();
        let mut head = ResponseHead {
            facts: facts(),
            note: None,
            status,
            headers: &mut headers,
        };
        let (chain, mut bodies) = (chain(), 0);
        let mut half = chain.response(passed, &[]);
        while let Some(wish) = half.run(&mut head) {
            let Wish::Whole(body, 10) = wish else {
                panic!("{wish:?}");
            };
            body.rewrite(&mut head, Bytes::new());
            bodies += 1;
        }
        let ran = headers.get_all("x-ran").iter();
        let ran = ran.map(|value| value.to_str().expect("ASCII").to_owned());
        (ran.collect(), bodies)
    }

    #[test]
    fn a_response_passes_the_steps_last_to_first() {
        let ran = |passed| ran(StatusCode::OK, passed);
        assert_eq!(ran(3), (vec!["b".into(), "body".into(), "a".into()], 1));
        assert_eq!(ran(usize::MAX), ran(3));
    }

    #[test]
    fn a_body_is_taken_only_where_it_is_wanted() {
        let (ran, bodies) = ran(StatusCode::NOT_FOUND, 3);
        assert_eq!((ran, bodies), (vec!["b".to_owned(), "a".to_owned()], 0));
    }

    #[test]
    fn an_early_answer_passes_only_the_steps_before() {
        assert_eq!(ran(StatusCode::OK, 1), (vec!["a".to_owned()], 0));
        assert_eq!(ran(StatusCode::OK, 0), (vec![], 0));
    }
}
