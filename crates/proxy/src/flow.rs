//! Sentinel's flow rules, which are asked once for each request. They come before all filters of its first route except those of
//! CORS, which Spring asks before any filter.

use pailou_filters::FlowRequest;

use crate::exchange::{Ended, Exchange};

/// The end of a request that a rule does not let through.
pub(crate) fn check(exchange: &Exchange, request: &FlowRequest<'_>) -> Option<Ended> {
    let rules = exchange.server.flow.load();
    if rules.is_empty() {
        return None;
    }
    let blocked = rules.pass(request).err()?;
    exchange.server.metrics.flow_blocked();
    let answer = blocked.answer(request.headers);
    Some(Ended::Answered(Box::new(answer)))
}
