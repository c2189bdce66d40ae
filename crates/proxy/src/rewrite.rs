//! The response half of a route's steps.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::{Bytes, BytesMut};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use pailou_filters::{Encoder, Facts, ResponseHead, Wish};

use crate::cause::Cause;
use crate::download::Flow;
use crate::exchange::Exchange;

/// So many bytes of a whole body are encoded at once.
const PIECE_BYTES: usize = 32 << 10;

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
                Wish::Encode(encoder) => {
                    encode(flow, head.status, encoder, &mut whole).await?;
                    continue;
                }
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
            let body = at(facts, head, |head| step.rewrite(head, body))?;
            let length = HeaderValue::from(body.len());
            head.headers.insert(header::CONTENT_LENGTH, length);
            whole = Some(body);
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

/// Encodes the body: as it streams, or at once if a step took it whole or there is none.
async fn encode(
    flow: &mut Flow,
    status: StatusCode,
    encoder: Encoder,
    whole: &mut Option<Bytes>,
) -> Result<(), Cause> {
    if !has_body(&flow.exchange.method, status) {
        return Ok(());
    }
    if whole.is_none() && !flow.is_over() {
        flow.encode(encoder);
        return Ok(());
    }
    *whole = Some(encoded(encoder, whole.take().unwrap_or_default()).await?);
    Ok(())
}

/// A whole body, encoded piece by piece, so that other requests of this worker go on meanwhile.
async fn encoded(mut encoder: Encoder, body: Bytes) -> Result<Bytes, Cause> {
    let mut out = BytesMut::new();
    for piece in body.chunks(PIECE_BYTES) {
        let encoded = encoder.write(piece).map_err(|_| Cause::Internal)?;
        out.extend_from_slice(&encoded);
        tokio::task::yield_now().await;
    }
    let rest = encoder.finish().map_err(|_| Cause::Internal)?;
    out.extend_from_slice(&rest);
    Ok(out.freeze())
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
