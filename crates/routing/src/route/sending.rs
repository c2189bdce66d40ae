//! How a route's requests are sent, as its filters say.

use pailou_filters::{Chain, ErrorShape, Priority, Retry, Rule, Step};

/// What the filters of a route ask of whoever sends its requests.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) retry: Retry,
    pub(super) preserve_host: bool,
    pub(super) grpc_web: bool,
    pub(super) answers_preflights: bool,
    pub(super) errors: Option<ErrorShape>,
    pub(super) priority: Priority,
    /// How many steps at the beginning are those of CORS, which are a rule and an edit each.
    pub(super) cors_steps: usize,
    /// The places of the steps that act for each try.
    pub(super) each_try: Vec<usize>,
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
            errors: None,
            priority: Priority::default(),
            cors_steps: 0,
            each_try: Vec::new(),
        };
        let is_cors =
            |pair: &&[Step]| matches!(pair, [Step::Rule(Rule::Preflights), Step::Edit(_)]);
        let pairs = chain.steps().chunks(2);
        sending.cors_steps = 2 * pairs.take_while(is_cors).count();
        let mut has_retry = false;
        for (place, step) in chain.steps().iter().enumerate() {
            if has_retry && step.acts_each_try() {
                sending.each_try.push(place);
            }
            match step {
                Step::Rule(Rule::PreserveHost) => sending.preserve_host = true,
                Step::Rule(Rule::GrpcWeb) => sending.grpc_web = true,
                Step::Rule(Rule::Errors(shape)) => sending.errors = Some(shape.clone()),
                Step::Rule(Rule::Priority(priority)) => sending.priority = *priority,
                Step::Rule(Rule::Preflights) => sending.answers_preflights = true,
                Step::Rule(Rule::Retry(retry)) => {
                    sending.retry = retry.clone();
                    sending.each_try.clear();
                    has_retry = true;
                }
                Step::Breaker(breaker) if has_retry => sending.retry.is_around(breaker),
                Step::Breaker(_)
                | Step::Edit(_)
                | Step::Gate(_)
                | Step::Body(_)
                | Step::Compress(_)
                | Step::Keep(_)
                | Step::Mirror(_) => {}
            }
        }
        sending
    }
}
