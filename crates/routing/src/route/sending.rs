//! How a route's requests are sent, as its filters say.

use pailou_filters::{Chain, Priority, Retry, Rule, Step};

/// What the filters of a route ask of whoever sends its requests.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) retry: Retry,
    pub(super) preserve_host: bool,
    pub(super) grpc_web: bool,
    pub(super) answers_preflights: bool,
    pub(super) priority: Priority,
    /// How many steps at the beginning are those of CORS, which are a rule and an edit each.
    pub(super) cors_steps: usize,
}

impl Sending {
    /// What a chain asks for; `retry` holds unless a filter says otherwise. The last of a kind counts.
    ///
    /// The order of `Retry` and of circuit breakers matters: a breaker behind it is a part of what is tried again.
    pub(super) fn of(chain: &Chain, retry: Retry, preserve_host: bool) -> Sending {
        let mut sending = Sending {
            retry,
            preserve_host,
            grpc_web: false,
            answers_preflights: false,
            priority: Priority::default(),
            cors_steps: 0,
        };
        let is_cors =
            |pair: &&[Step]| matches!(pair, [Step::Rule(Rule::Preflights), Step::Edit(_)]);
        let pairs = chain.steps().chunks(2);
        sending.cors_steps = 2 * pairs.take_while(is_cors).count();
        let mut has_retry = false;
        for step in chain.steps() {
            match step {
                Step::Rule(Rule::PreserveHost) => sending.preserve_host = true,
                Step::Rule(Rule::GrpcWeb) => sending.grpc_web = true,
                Step::Rule(Rule::Priority(priority)) => sending.priority = *priority,
                Step::Rule(Rule::Preflights) => sending.answers_preflights = true,
                Step::Rule(Rule::Retry(retry)) => {
                    sending.retry = retry.clone();
                    has_retry = true;
                }
                Step::Breaker(breaker) if has_retry => sending.retry.is_around(breaker),
                Step::Breaker(_)
                | Step::Edit(_)
                | Step::Gate(_)
                | Step::Body(_)
                | Step::Keep(_) => {}
            }
        }
        sending
    }
}
