//! Circuit breakers that a request passes, and where it goes when one of them
//! counts a failure.

use std::borrow::Cow;

use bytes::Bytes;
use http::{Extensions, HeaderMap, StatusCode};
use pailou_filters::{CircuitBreaker, Failure, Fallback, Permit, Step};
use pailou_upstream::{Outcome, Tried};
use tokio::time::Instant;

use crate::cause::{Cause, title};
use crate::dispatch::{self, Draft};
use crate::exchange::{Ended, Exchange, Passed};
use crate::plan::{self, Planned};
use crate::tries::{self, Received};

/// A breaker that a request has passed, or was refused by.
#[derive(Debug)]
pub(crate) struct Guard {
    /// Its route among those that the request has passed, and its place there.
    pub(crate) passed: usize,
    pub(crate) place: usize,
    /// `None` if the breaker refused the request.
    pub(crate) permit: Option<Permit>,
    /// When the answer is due, if the breaker limits that time.
    pub(crate) due: Option<Instant>,
    /// The request as it was at the breaker, if it may go to another route from there.
    pub(crate) saved: Option<Saved>,
}

/// The planned head at a breaker.
#[derive(Debug)]
pub(crate) struct Saved {
    pub(crate) headers: HeaderMap,
    pub(crate) query: Option<String>,
}

/// The part of a request that all its plans share.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) extensions: Extensions,
    pub(crate) wants_trailers: bool,
    pub(crate) target: Bytes,
}

type Outcomes = Result<Received, Ended>;

/// How a request, or one try of it, ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Answered(StatusCode),
    Failed(Cause),
}

impl End {
    fn of(outcome: &Outcomes) -> End {
        match outcome {
            Ok(received) => End::Answered(received.response.status()),
            Err(Ended::Answered(answer)) => End::Answered(answer.status),
            Err(Ended::Failed(cause)) => End::Failed(*cause),
        }
    }
}

/// What an end is to a breaker.
enum Verdict {
    Good,
    /// Not at all: the fault is the client's.
    Nothing,
    Bad(Failure),
}

/// Tells the breakers the outcome of the request, the last breaker first. Sends the
/// request to another route, once, if a breaker says so.
pub(crate) async fn settle(exchange: &mut Exchange, mut outcome: Outcomes) -> Outcomes {
    while let Some(mut guard) = exchange.guards.pop() {
        if let Some(failure) = tell(exchange, &mut guard, End::of(&outcome)) {
            outcome = instead(exchange, guard, failure, outcome).await;
        }
    }
    outcome
}

/// Tells the breaker of a guard how its call ended; gives the failure if that is one.
pub(crate) fn tell(exchange: &Exchange, guard: &mut Guard, end: End) -> Option<Failure> {
    let now = Instant::now().into_std();
    match (guard.permit.take(), judge(exchange, guard, end)) {
        (Some(permit), Verdict::Good) => permit.succeeded(now),
        (_, Verdict::Good | Verdict::Nothing) => {}
        (permit, Verdict::Bad(failure)) => {
            if let Some(permit) = permit {
                permit.failed(now);
            }
            return Some(failure);
        }
    }
    None
}

/// The breaker of a guard.
pub(crate) fn breaker<'e>(
    passed: &'e [Passed],
    guard: &Guard,
) -> Option<(&'e Passed, &'e CircuitBreaker)> {
    let passed = passed.get(guard.passed)?;
    match passed.route.chain.steps().get(guard.place)? {
        Step::Breaker(breaker) => Some((passed, breaker)),
        _ => None,
    }
}

fn judge(exchange: &Exchange, guard: &Guard, end: End) -> Verdict {
    let status = match end {
        End::Answered(status) => status,
        End::Failed(cause) if cause.is_of_upstream() => {
            let answer = cause.answer();
            return Verdict::Bad(Failure {
                cause: answer.cause,
                detail: answer.detail.to_owned(),
            });
        }
        End::Failed(_) => return Verdict::Nothing,
    };
    match breaker(&exchange.passed, guard) {
        Some((_, breaker)) if breaker.is_failure(status) => Verdict::Bad(Failure {
            cause: "status",
            detail: format!("{} {}", status.as_u16(), words(status)),
        }),
        _ => Verdict::Good,
    }
}

/// A status as Spring names it: `INTERNAL_SERVER_ERROR`.
fn words(status: StatusCode) -> String {
    let letters = title(status.as_u16()).chars();
    let letters = letters.filter(|letter| *letter != '\'');
    let letters = letters.map(|letter| match letter.is_ascii_alphanumeric() {
        true => letter.to_ascii_uppercase(),
        false => '_',
    });
    letters.collect()
}

/// The answer of another route in the place of a failure, if there is one.
async fn instead(
    exchange: &mut Exchange,
    guard: Guard,
    failure: Failure,
    outcome: Outcomes,
) -> Outcomes {
    let Some((passed, breaker)) = breaker(&exchange.passed, &guard) else {
        return outcome;
    };
    let path = match &breaker.fallback {
        None => return outcome,
        Some(Fallback::Nothing) => {
            drop_of(exchange, outcome);
            rewind(exchange, &guard);
            return Err(Ended::Answered(Box::default()));
        }
        Some(Fallback::Forward(path)) => path(&passed.facts.bindings),
    };
    let upload = exchange.upload.as_ref();
    let is_at_hand = upload.is_none_or(|upload| upload.is_at_hand());
    let (Some(path), Some(saved), true) = (path, guard.saved.as_ref(), is_at_hand) else {
        return outcome;
    };
    if std::mem::replace(&mut exchange.fell_back, true) {
        return outcome;
    }
    let draft = Draft {
        path: Cow::Owned(path),
        query: saved.query.clone().map(Cow::Owned),
        headers: saved.headers.clone(),
    };
    drop_of(exchange, outcome);
    rewind(exchange, &guard);
    let planned = Box::pin(replan(exchange, draft, failure)).await?;
    tries::send(exchange, &planned).await
}

/// Drops the outcome of the first route.
fn drop_of(exchange: &mut Exchange, outcome: Outcomes) {
    if let (Some(pick), Ok(received)) = (exchange.pick.take(), outcome) {
        pick.report(Outcome::Answered {
            status: received.response.status().as_u16(),
            latency: exchange.answer_took(),
        });
    }
}

/// Takes back what was done to the request after the breaker.
fn rewind(exchange: &mut Exchange, guard: &Guard) {
    exchange.passed.truncate(guard.passed + 1);
    if let Some(passed) = exchange.passed.last_mut() {
        passed.steps = guard.place;
    }
    exchange.tried = Tried::none();
    exchange.returned = false;
    exchange.tries_before = exchange.tries;
    exchange.refusals = 0;
}

async fn replan(
    exchange: &mut Exchange,
    mut draft: Draft<'static>,
    failure: Failure,
) -> Result<Planned, Ended> {
    dispatch::again(exchange, &mut draft, failure).await?;
    let frame = exchange.frame.take().ok_or(Cause::Internal)?;
    Ok(plan::planned(exchange, *frame, draft)?)
}
