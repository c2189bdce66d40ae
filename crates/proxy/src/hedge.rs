//! Hedged tries: while one endpoint takes its time, another is asked the same, and the first answer counts.
//!
//! This follows the hedging of gRPC (gRFC A6). The next try goes out when `after` has passed since the one before, or at
//! once when that one came to nothing. The first answer is the request's, unless its status is one that the route tries
//! again; what others do then is not waited for. Only a request that may run twice is hedged, once all of its body is at
//! hand. A hedge goes to an endpoint that has not been asked, counts as one of the route's tries, and is paid for from the
//! service's budget of retries; where one of these is missing, the request goes on without it.
//!
//! A try that is left alone says nothing about its endpoint. Its connection is closed (HTTP/1.1), or its stream is reset
//! (HTTP/2).

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pailou_filters::Hedge;
use pailou_upstream::Pick;
use tokio::time::Instant;

use crate::cause::Cause;
use crate::deadline::Timer;
use crate::exchange::Exchange;
use crate::failed_tries;
use crate::line::LineFailure;
use crate::plan::Planned;
use crate::transport::ConnectFailure;
use crate::tries::{self, Again, Failed, Received};

/// Why a try came to nothing when another one was answered first.
const OVERTAKEN: &str = "overtaken";

/// How the route hedges the request, if it does.
pub(crate) fn of(exchange: &Exchange) -> Option<Hedge> {
    let retry = &exchange.route.as_ref()?.retry;
    let hedge = retry.hedge?;
    let may = retry.repeats(&exchange.method)
        && exchange.upgrade.is_none()
        && !exchange.expects_continue
        && exchange
            .upload
            .as_ref()
            .is_none_or(|upload| upload.is_at_hand());
    may.then_some(hedge)
}

/// One try among several.
struct Leg {
    pick: Pick,
    /// The address that it connects to.
    upstream: SocketAddr,
    began: Instant,
    is_hedge: bool,
    asking: Asking,
}

type Asking = Pin<Box<dyn Future<Output = Result<Received, Lost>> + Send>>;

/// Why a leg has no answer.
enum Lost {
    Unconnected(ConnectFailure),
    /// And whether its connection had served a request before.
    Unanswered(LineFailure, bool),
}

/// What happens first.
enum News {
    /// The leg at this place has ended.
    Ended(usize, Box<Result<Received, Lost>>),
    /// The next leg is due.
    Due,
    /// There is no time left.
    Late(Cause),
}

/// The legs of a request.
struct Race {
    legs: Vec<Leg>,
    /// How many more there may be.
    left: u32,
    after: Duration,
    /// When the next is due, if that does not follow from the last one.
    due: Option<Instant>,
    timer: Timer,
}

/// One try, and others beside it.
pub(crate) async fn attempt(
    exchange: &mut Exchange,
    planned: &Planned,
    hedge: Hedge,
) -> Result<Received, Failed> {
    let mut race = Race {
        legs: Vec::with_capacity(2),
        left: hedge.max,
        after: hedge.after,
        due: None,
        timer: Timer::default(),
    };
    let first = leg(exchange, planned, false).ok_or(Failed::ours())?;
    race.legs.push(first);
    loop {
        let news = poll_fn(|cx| race.poll(exchange, cx)).await;
        match news {
            News::Late(cause) => {
                // The first leg has had the most time.
                let first = race.legs.remove(0);
                race.leave(exchange, cause.answer().cause);
                first.becomes_the_try(exchange);
                return Err(tries::late(exchange, cause));
            }
            News::Due => race.hedge(exchange, planned),
            News::Ended(at, ended) => {
                if let Some(outcome) = race.ended(exchange, at, *ended) {
                    return outcome;
                }
            }
        }
    }
}

impl Race {
    fn poll(&mut self, exchange: &mut Exchange, cx: &mut Context<'_>) -> Poll<News> {
        for (at, leg) in self.legs.iter_mut().enumerate() {
            if let Poll::Ready(ended) = leg.asking.as_mut().poll(cx) {
                return Poll::Ready(News::Ended(at, Box::new(ended)));
            }
        }
        if let Poll::Ready(cause) = exchange.poll_ended(cx) {
            return Poll::Ready(News::Late(cause));
        }
        let Some(due) = self.next_due(exchange) else {
            return Poll::Pending;
        };
        self.timer.poll_until(cx, due).map(|()| News::Due)
    }

    /// When the next leg is due. Not before all of the request is sent, which wakes the task.
    fn next_due(&self, exchange: &Exchange) -> Option<Instant> {
        if self.left == 0 {
            return None;
        }
        let sent_at = match &exchange.upload {
            Some(upload) => upload.sent_at()?,
            None => exchange.try_began,
        };
        let due = || exchange.try_began.max(sent_at) + self.after;
        Some(self.due.unwrap_or_else(due))
    }

    /// Begins another leg, if the route, the budget and the service's endpoints allow it.
    fn hedge(&mut self, exchange: &mut Exchange, planned: &Planned) {
        self.due = None;
        let is_allowed = of(exchange).is_some() && tries::next(exchange, true, Again::Paid);
        let leg = is_allowed.then(|| leg(exchange, planned, true)).flatten();
        self.left = match leg {
            Some(_) => self.left - 1,
            // Nothing changes while the request waits.
            None => 0,
        };
        self.legs.extend(leg);
    }

    /// What the end of a leg means for the request; `None` while others are under way.
    fn ended(
        &mut self,
        exchange: &mut Exchange,
        at: usize,
        ended: Result<Received, Lost>,
    ) -> Option<Result<Received, Failed>> {
        let leg = self.legs.remove(at);
        let is_last = self.legs.is_empty();
        leg.stands_for(exchange);
        let mut pause = Duration::ZERO;
        match ended {
            Ok(received) if is_last || !tries::is_rejected(exchange, &received) => {
                leg.count(exchange, "won");
                self.leave(exchange, OVERTAKEN);
                leg.becomes_the_try(exchange);
                return Some(Ok(received));
            }
            Ok(received) => {
                leg.count(exchange, "failed");
                pause = tries::wanted_pause(exchange, &received);
                tries::put_aside(exchange, received, Some(leg.pick));
            }
            Err(lost) => {
                leg.count(exchange, "failed");
                let failed = lost.into_failed(exchange);
                leg.becomes_the_try(exchange);
                if is_last {
                    return Some(Err(failed));
                }
                tries::settle(exchange, &failed);
            }
        }
        self.goes_on(exchange, pause);
        None
    }

    /// A leg came to nothing: the next one need not wait, but for the pause that an answer asked for.
    fn goes_on(&mut self, exchange: &mut Exchange, pause: Duration) {
        tries::remember(exchange);
        exchange.pick = None;
        self.due = Some(Instant::now() + pause);
        if let Some(latest) = self.legs.last() {
            latest.stands_for(exchange);
        }
    }

    /// Leaves the legs alone that are under way: their connections end.
    fn leave(&mut self, exchange: &mut Exchange, reason: &'static str) {
        for leg in self.legs.drain(..) {
            leg.count(exchange, "lost");
            leg.stands_for(exchange);
            failed_tries::note(exchange, reason, None);
        }
    }
}

impl Lost {
    fn into_failed(self, exchange: &Exchange) -> Failed {
        match self {
            Lost::Unconnected(failure) => tries::unconnected(exchange, failure),
            Lost::Unanswered(failure, reused) => tries::send_failed(exchange, failure, reused),
        }
    }
}

impl Leg {
    /// Counts what became of it, if it is a hedge.
    fn count(&self, exchange: &Exchange, outcome: &'static str) {
        if self.is_hedge {
            exchange.server.metrics.hedged(outcome);
        }
    }

    /// The exchange names it as its try.
    fn stands_for(&self, exchange: &mut Exchange) {
        exchange.picked = Some(self.pick.address());
        exchange.upstream = Some(self.upstream);
        exchange.try_began = self.began;
    }

    /// The exchange goes on with it alone.
    fn becomes_the_try(self, exchange: &mut Exchange) {
        self.stands_for(exchange);
        exchange.pick = Some(self.pick);
    }
}

/// Begins a leg to the endpoint that was picked.
fn leg(exchange: &mut Exchange, planned: &Planned, is_hedge: bool) -> Option<Leg> {
    let remote = tries::begin(exchange)?;
    let request = tries::request(exchange, planned, &remote);
    let timeout = tries::connect_timeout(exchange);
    let (server, has_body) = (exchange.server.clone(), exchange.upload.is_some());
    let upstream = remote.address;
    let asking = Box::pin(async move {
        let line = server.line(remote, timeout).await;
        let mut line = line.map_err(Lost::Unconnected)?;
        if has_body {
            line.drive_elsewhere();
        }
        // The race keeps the deadline.
        let never = |_: &mut Context<'_>| Poll::<std::convert::Infallible>::Pending;
        let Ok(sent) = line.send(request, never).await;
        match sent {
            Ok(response) => Ok(Received { response, line }),
            Err(failure) => Err(Lost::Unanswered(failure, line.is_reused())),
        }
    });
    Some(Leg {
        pick: exchange.pick.take()?,
        upstream,
        began: exchange.try_began,
        is_hedge,
        asking,
    })
}
