//! The response half of a route's steps.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use pailou_filters::{Facts, ResponseHead, Wish};

use crate::cause::Cause;
use crate::download::Flow;
use crate::exchange::Exchange;

/// Runs the steps that the request has passed, last to first. Gives the body
/// when a step took it whole; otherwise it still streams.
pub(crate) async fn run(flow: &mut Flow, head: &mut Parts) -> Result<Option<Bytes>, Cause> {
    let all = std::mem::take(&mut flow.exchange.passed);
    let mut whole: Option<Bytes> = None;
    for passed in all.iter().rev() {
        let (facts, mut half) = (&passed.facts, passed.response());
        while let Some(wish) = at(facts, head, |head| half.run(head))? {
            let (step, most) = match wish {
                Wish::Whole(step, most) => (step, most),
                Wish::Copy(copying) => {
                    match &whole {
                        Some(whole) => copying.keep(whole.clone()),
                        None => flow.copy(copying),
                    }
                    continue;
                }
            };
            if !has_body(&flow.exchange.method, head.status) {
                // Of the body that it would have, nobody knows the length.
                head.headers.remove(header::CONTENT_LENGTH);
                continue;
            }
            let body = match whole.take() {
                Some(body) if body.len() > most => return Err(Cause::UpstreamTooLarge),
                Some(body) => body,
                None => flow.collect(most).await?,
            };
            whole = Some(at(facts, head, |head| step.rewrite(head, body))?);
        }
    }
    if let Some(body) = &whole {
        flow.exchange.bytes_out = body.len() as u64;
        let length = HeaderValue::from(body.len());
        head.headers.insert(header::CONTENT_LENGTH, length);
        head.headers.remove(header::TRAILER);
    }
    Ok(whole)
}

/// The same for a response that has a head only.
pub(crate) fn head(exchange: &Exchange, head: &mut Parts) -> Result<(), Cause> {
    for passed in exchange.passed.iter().rev() {
        let mut half = passed.response();
        at(
            &passed.facts,
            head,
            |head| while half.run(head).is_some() {},
        )?;
    }
    Ok(())
}

fn at<T>(
    facts: &Facts,
    head: &mut Parts,
    act: impl FnOnce(&mut ResponseHead<'_>) -> T,
) -> Result<T, Cause> {
    guarded(facts, &mut head.status, &mut head.headers, act)
}

/// Whether a response of this status to this method has a body (RFC 9110 section
/// 6.4.1).
fn has_body(method: &Method, status: StatusCode) -> bool {
    *method != Method::HEAD && !is_bodiless(status)
}

/// Whether no response of this status has a body.
pub(crate) fn is_bodiless(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Lets steps at a head. A fault in one costs its request alone.
pub(crate) fn guarded<T>(
    facts: &Facts,
    status: &mut StatusCode,
    headers: &mut HeaderMap,
    act: impl FnOnce(&mut ResponseHead<'_>) -> T,
) -> Result<T, Cause> {
    let acted = catch_unwind(AssertUnwindSafe(|| {
        let mut view = ResponseHead {
            facts,
            note: None,
            status: *status,
            headers,
        };
        let acted = act(&mut view);
        *status = view.status;
        acted
    }));
    acted.map_err(|_| Cause::Panic)
}
