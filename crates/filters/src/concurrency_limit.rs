//! Bounds how many requests are under way at once.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderValue, header};
use pailou_config::{Field, Fields};

use crate::gradient::GradientSettings;
use crate::slots::{Adapt, Algorithm, Slot, SlotSettings, Slots};
use crate::{
    Ask, AskError, Change, Gate, Next, Refusal, RequestHead, ResponseHead, Scope, Step, Waiting,
    registry::Entry,
};

pub(crate) const ENTRY: Entry = Entry::steps(
    "concurrency_limit",
    "{ requests: 100, of: route, queue: 50, wait: 500ms, name: api, adaptive: { target: 200ms, min: 10 } }",
    "Lets so many requests be under way at once, `of: route` or `of: service`; `queue` more wait for a place, `wait` (1s) at most. Beyond that 503 (`concurrency_limited`). Routes that give it one `name` share the places. With `adaptive` the number is found between `min` and `requests`: it grows while answers begin within `target`, and falls when they do not; or, with `algorithm: gradient`, it grows until answers take longer than they used to. Each gateway counts for itself.",
    compile,
);

const WAITS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(60);
const TARGETS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(600);
const MOST: u32 = 1_000_000;

/// A place is a request's until its response has ended; a tunnel has it for as long.
///
/// Cost per request: two steps of a semaphore; one that waits, an allocation.
#[derive(Debug)]
struct ConcurrencyLimit {
    slots: Arc<Slots>,
}

fn compile(field: &Field<'_>, scope: &Scope<'_>) -> Option<Vec<Step>> {
    let mut fields = field.mapping()?;
    let settings = settings(&mut fields);
    let is_of_service = match fields.optional("of") {
        Some(of) => of.one_of(&[("route", false), ("service", true)]),
        None => Some(false),
    };
    let name = fields.optional("name").map(|name| name.string());
    fields.finish();
    let name = match (name, is_of_service?, scope.service) {
        (Some(name), ..) => name?,
        (None, false, _) => scope.route.to_string(),
        (None, true, Some(service)) => service.to_owned(),
        (None, true, None) => {
            field.fault_expected("this route goes to no service", "`of: route`");
            return None;
        }
    };
    let slots = scope.shared.slots(&name, settings?);
    Some(vec![Step::Gate(Box::new(ConcurrencyLimit { slots }))])
}

fn settings(fields: &mut Fields<'_>) -> Option<SlotSettings> {
    let most = fields
        .required("requests")
        .and_then(|field| field.integer(1..=u64::from(MOST)));
    let queue = match fields.optional("queue") {
        Some(queue) => queue.integer(0..=u64::from(MOST)),
        None => Some(0),
    };
    let wait = match fields.optional("wait") {
        Some(wait) => wait.duration(WAITS),
        None => Some(Duration::from_secs(1)),
    };
    let adapt = match fields.optional("adaptive") {
        Some(field) => adapt(&field, most.unwrap_or(1)).map(Some),
        None => Some(None),
    };
    Some(SlotSettings {
        most: most? as u32,
        queue: queue? as u32,
        wait: wait?,
        adapt: adapt?,
    })
}

fn adapt(field: &Field<'_>, most: u64) -> Option<Adapt> {
    let mut fields = field.mapping()?;
    let is_gradient = match fields.optional("algorithm") {
        Some(algorithm) => algorithm.one_of(&[("aimd", false), ("gradient", true)])?,
        None => false,
    };
    let algorithm = match is_gradient {
        true => gradient(&mut fields),
        false => {
            let target = fields.required("target");
            let target = target.and_then(|field| field.duration(TARGETS));
            target.map(|target| Algorithm::Aimd { target })
        }
    };
    let least = match fields.optional("min") {
        Some(min) => min.integer(1..=most),
        None => Some(1),
    };
    fields.finish();
    Some(Adapt {
        least: least? as u32,
        algorithm: algorithm?,
    })
}

/// The numbers of Netflix's `Gradient2`, with its defaults.
fn gradient(fields: &mut Fields<'_>) -> Option<Algorithm> {
    let mut number = |key, default, range: RangeInclusive<f64>| match fields.optional(key) {
        None => Some(default),
        Some(field) => {
            let number = field.number()?;
            if !range.contains(&number) {
                let (least, most) = range.into_inner();
                field.fault_expected(field.quoted(), format!("a number from {least} to {most}"));
                return None;
            }
            Some(number)
        }
    };
    let tolerance = number("tolerance", 1.5, 1.0..=10.0);
    let smoothing = number("smoothing", 0.2, 0.01..=1.0);
    let queue = match fields.optional("queue_size") {
        Some(queue) => queue.integer(1..=1_000),
        None => Some(4),
    };
    Some(Algorithm::Gradient(GradientSettings {
        tolerance: tolerance?,
        smoothing: smoothing?,
        queue: queue? as u32,
    }))
}

impl ConcurrencyLimit {
    fn refuse(&self, head: &mut RequestHead<'_>) -> Next {
        self.slots.refused();
        let second = HeaderValue::from_static("1");
        let changes = &mut head.effects.response;
        changes.push(Change::Set(header::RETRY_AFTER, second));
        Next::Refuse(Refusal::Concurrency)
    }
}

/// The request has its place for as long as the note is kept: until it is over.
fn goes_on(head: &mut RequestHead<'_>, slot: Slot) -> Next {
    head.effects.note = Some(Box::new(slot));
    Next::Continue
}

impl Gate for ConcurrencyLimit {
    fn at_once(&self, head: &mut RequestHead<'_>) -> Option<Next> {
        if head.effects.is_rehearsal {
            return None;
        }
        match self.slots.try_take() {
            Some(slot) => Some(goes_on(head, slot)),
            None if self.slots.is_full() => Some(self.refuse(head)),
            None => None,
        }
    }

    fn request<'a>(
        &'a self,
        head: &'a mut RequestHead<'_>,
        _ask: &'a dyn Ask,
    ) -> Waiting<'a, Result<Next, AskError>> {
        Box::pin(async move {
            Ok(match self.slots.take().await {
                Some(slot) => goes_on(head, slot),
                None => self.refuse(head),
            })
        })
    }

    fn response(&self, head: &mut ResponseHead<'_>) {
        let slot = head.note.and_then(|note| note.downcast_ref::<Slot>());
        if let Some(slot) = slot {
            slot.answered(Instant::now());
        }
    }

    fn timeout(&self) -> Duration {
        // Whoever waits is told by itself when that has been for too long.
        self.slots.settings().wait + Duration::from_secs(1)
    }

    fn purpose(&self) -> String {
        "waits for a place".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::registry::tests::{request_head, step};

    fn gate(args: &str) -> Box<dyn Gate> {
        match step("concurrency_limit", args).expect(args) {
            Step::Gate(gate) => gate,
            other => panic!("not a gate: {other:?}"),
        }
    }

    #[test]
    fn a_place_is_free_once_its_request_is_over() {
        let gate = gate("{ requests: 1 }");
        let mut headers = HeaderMap::new();
        let mut head = request_head("/", &mut headers);
        assert!(matches!(gate.at_once(&mut head), Some(Next::Continue)));
        let note = head.effects.note.take();
        let refused = gate.at_once(&mut head);
        assert!(matches!(refused, Some(Next::Refuse(Refusal::Concurrency))));
        drop(note);
        assert!(matches!(gate.at_once(&mut head), Some(Next::Continue)));
    }

    #[test]
    fn what_is_no_limit_is_refused() {
        for (args, problem) in [
            ("{}", "`requests` is missing"),
            ("{ requests: 0 }", "0"),
            ("{ requests: 1, of: host }", "route, service"),
            ("{ requests: 1, queue: -1 }", "-1"),
            ("{ requests: 1, wait: 2m }", "2m"),
            ("{ requests: 1, adaptive: {} }", "`target` is missing"),
            (
                "{ requests: 1, adaptive: { algorithm: vegas } }",
                "aimd, gradient",
            ),
            (
                "{ requests: 1, adaptive: { algorithm: gradient, target: 1s } }",
                "unknown key",
            ),
            (
                "{ requests: 1, adaptive: { algorithm: gradient, tolerance: 0.5 } }",
                "from 1 to 10",
            ),
            (
                "{ requests: 1, adaptive: { target: 1s, smoothing: 0.5 } }",
                "unknown key",
            ),
            (
                "{ requests: 5, adaptive: { target: 1s, min: 6 } }",
                "from 1 to 5",
            ),
            ("{ requests: 1, per: 1s }", "unknown key"),
        ] {
            let error = step("concurrency_limit", args).expect_err(args);
            assert!(error.contains(problem), "{args}: {error}");
        }
    }
}
