//! What does each native filter cost a request that passes it: how long, and how many allocations?
//!
//! Each filter runs the request half of its step on a prepared head, and the response half if it is one that changes heads. The time is
//! that of the process's CPU. The allocations are printed first, as a table: those of one request, the mean of a thousand after a
//! first one. A head is made and dropped outside of what is measured. `jwt` is measured with a token that is known, and `jwt, new token`
//! with tokens that are verified for the first time, by HS256.
//!
//! ```text
//! cargo bench -p pailou-gateway --bench filters
//! ```

mod clock;

use std::hint::black_box;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use pailou_config::{Field, Node, PartSpec, Report, TargetSpec};
use pailou_filters::{
    Destinations, Effects, Facts, Next, REGISTRY, RequestHead, ResponseHead, Scope, Shared, Step,
};
use pailou_telemetry::Metrics;
use pailou_upstream::Destination;

use clock::CpuTime;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A filter, its arguments, and a header that its request has.
type Case = (&'static str, String, Option<(&'static str, String)>);

/// Filters that are not measured here, and why.
const OTHERS: &[(&str, &str)] = &[
    ("forward_auth", "asks a service for each request"),
    ("introspect", "asks a service for each new token"),
    ("basic_auth", "has its users from a file or from Nacos"),
    ("rewrite_body", "changes bodies"),
    ("compress", "changes bodies"),
    ("circuit_breaker", "guards tries and changes no head"),
    ("errors", "acts on the gateway's own errors"),
    ("grpc_web", "says how the request is sent"),
    ("mirror", "sends copies"),
    ("priority", "is read when the gateway is full"),
];

fn cases() -> Vec<Case> {
    let plain = |name, args: &str| (name, args.to_owned(), None);
    let with =
        |name, args: &str, header, value: String| (name, args.to_owned(), Some((header, value)));
    let own = |header: &str| format!("{{ name: {header}, value: some-value }}");
    vec![
        plain("strip_prefix", "1"),
        plain("prefix", "/v2"),
        plain("set_request_header", &own("x-env")),
        plain("add_request_header", &own("x-env")),
        with(
            "remove_request_header",
            "{ name: x-debug }",
            "x-debug",
            "1".to_owned(),
        ),
        plain("set_response_header", &own("x-env")),
        plain("add_response_header", &own("x-env")),
        plain("remove_response_header", "{ name: server }"),
        with("jwt", &jwt(), "authorization", bearer(0)),
        with("api_key", &api_key(), "x-api-key", "some-key".to_owned()),
        plain(
            "ip_filter",
            "{ allow: [10.0.0.0/8, 127.0.0.0/8, '::1'], deny: [10.9.0.0/16] }",
        ),
        with(
            "csrf",
            "{ allow: ['https://shop.example'] }",
            "origin",
            SHOP.to_owned(),
        ),
        with(
            "cors",
            "{ origins: ['https://shop.example'], credentials: true }",
            "origin",
            SHOP.to_owned(),
        ),
        plain("methods", "[GET, HEAD, POST]"),
        plain("request_limits", "{ body_bytes: 1MiB, header_bytes: 8KiB }"),
        plain(
            "redirect",
            "{ status: 308, to: 'https://shop.example{target}' }",
        ),
        plain("respond", "{ status: 503, body: closed }"),
        plain(
            "rate_limit",
            "{ key: client_address, requests: 1000000, per: 1s }",
        ),
        plain("concurrency_limit", "{ requests: 100000 }"),
        plain(
            "inject_fault",
            "{ percent: 10, abort: 503, header: x-inject-fault }",
        ),
    ]
}

const SHOP: &str = "https://shop.example";

/// What a step has decided.
type Passed = (Effects, Option<Next>);

/// `cors` has two: one that answers, and one that says it in responses.
const MOST_STEPS: usize = 2;

/// What one request needs, made anew for each.
struct Prepared {
    facts: Arc<Facts>,
    headers: HeaderMap,
    answer: HeaderMap,
}

impl Prepared {
    fn new(header: Option<&(&'static str, String)>) -> Prepared {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("host", "shop.example"),
            ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)"),
            ("accept", "*/*"),
            ("accept-encoding", "gzip, br"),
            ("cookie", "session=0123456789abcdef; theme=dark"),
            ("x-forwarded-for", "127.0.0.1"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if let Some((name, value)) = header {
            let value = HeaderValue::try_from(value).expect("a header's value");
            headers.insert(HeaderName::from_static(name), value);
        }
        let mut answer = HeaderMap::new();
        answer.insert("content-type", HeaderValue::from_static("application/json"));
        answer.insert("server", HeaderValue::from_static("uvicorn"));
        Prepared {
            facts: Arc::new(Facts {
                host: HeaderValue::from_static("shop.example"),
                path: "/api/users/42".into(),
                client: [127, 0, 0, 1].into(),
                ..Facts::default()
            }),
            headers,
            answer,
        }
    }

    /// Both halves of every step. What is decided is returned, so that it is dropped outside of what is measured.
    fn pass(&mut self, steps: &[Step]) -> [Option<Passed>; MOST_STEPS] {
        std::array::from_fn(|at| steps.get(at).map(|step| self.pass_one(step)))
    }

    fn pass_one(&mut self, step: &Step) -> Passed {
        let mut head = RequestHead {
            facts: &self.facts,
            method: &Method::GET,
            path: "/api/users/42".into(),
            query: None,
            headers: &mut self.headers,
            effects: Effects::default(),
        };
        let next = match step {
            Step::Edit(edit) => Some(edit.request(&mut head)),
            Step::Gate(gate) => gate.at_once(&mut head),
            _ => None,
        };
        let effects = head.effects;
        let mut head = ResponseHead {
            facts: &self.facts,
            note: effects.note.as_deref(),
            status: StatusCode::OK,
            headers: &mut self.answer,
        };
        match step {
            Step::Edit(edit) => edit.response(&mut head),
            Step::Gate(gate) => gate.response(&mut head),
            _ => {}
        }
        (effects, next)
    }
}

fn filters(criterion: &mut Criterion<CpuTime>) {
    let cases = cases();
    assert_all_are_named(&cases);
    let world = World::new();
    println!("allocations of one request");
    for (name, args, header) in &cases {
        let steps = world.steps(name, args);
        let prepare = || Prepared::new(header.as_ref());
        println!("| `{name}` | {} |", allocations(&steps, prepare));
        criterion.bench_function(&format!("filters/{name}"), |bencher| {
            bencher.iter_batched_ref(prepare, |it| it.pass(&steps), BatchSize::SmallInput);
        });
    }
    new_tokens(criterion, &world);
}

/// Tokens that were not seen before.
fn new_tokens(criterion: &mut Criterion<CpuTime>, world: &World) {
    let steps = world.steps("jwt", &jwt());
    let number = std::cell::Cell::new(1);
    let prepare = || {
        number.set(number.get() + 1);
        Prepared::new(Some(&("authorization", bearer(number.get()))))
    };
    println!("| `jwt`, new token | {} |", allocations(&steps, prepare));
    criterion.bench_function("filters/jwt, new token", |bencher| {
        bencher.iter_batched_ref(prepare, |it| it.pass(&steps), BatchSize::SmallInput);
    });
}

/// The mean over a thousand requests, after one that fills what is kept.
fn allocations(steps: &[Step], prepare: impl Fn() -> Prepared) -> f64 {
    const REQUESTS: usize = 1_000;
    drop(prepare().pass(steps));
    let mut all: Vec<Prepared> = (0..REQUESTS).map(|_| prepare()).collect();
    let mut passed = Vec::with_capacity(REQUESTS);
    let counted = allocation_counter::measure(|| {
        passed.extend(
            all.iter_mut()
                .map(|prepared| black_box(prepared.pass(steps))),
        );
    });
    counted.count_total as f64 / REQUESTS as f64
}

/// A filter that is neither measured nor excused would be forgotten.
fn assert_all_are_named(cases: &[Case]) {
    let is_native = |name: &&str| name.starts_with(|first: char| first.is_ascii_lowercase());
    for name in REGISTRY.iter().map(|entry| entry.name).filter(is_native) {
        let is_measured = cases.iter().any(|(other, ..)| *other == name);
        let is_excused = OTHERS.iter().any(|(other, _)| *other == name);
        assert!(
            is_measured != is_excused,
            "{name}: measure it, or say why not"
        );
    }
}

struct World {
    shared: Shared,
}

impl World {
    fn new() -> World {
        World {
            shared: Shared::new(Metrics::new()),
        }
    }

    fn steps(&self, name: &str, args: &str) -> Vec<Step> {
        let report = Report::new("bench");
        let args = Node::parse_yaml(args, &report).expect("YAML");
        let part = PartSpec {
            name: name.to_owned(),
            at: args.at,
            args,
            path: name.to_owned(),
        };
        let scope = Scope {
            route: &Arc::from("bench"),
            service: Some("bench-service"),
            names: Some(&[]),
            destinations: &Nowhere,
            shared: &self.shared,
        };
        let steps = pailou_filters::compile(&part, &report, &scope);
        let faults = report.into_faults();
        let steps = steps.unwrap_or_else(|| panic!("{name}: {faults:?}"));
        assert!(steps.len() <= MOST_STEPS, "{name} has more steps");
        steps
    }
}

/// No filter here asks anybody.
struct Nowhere;

impl Destinations for Nowhere {
    fn destination(&self, _spec: &TargetSpec, _field: &Field<'_>) -> Option<Destination> {
        None
    }
}

fn jwt() -> String {
    format!("{{ keys: {{ secret: {SECRET} }}, claims: {{ sub: x-user-id }} }}")
}

/// A token of HS256 that says so.
fn bearer(number: u64) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let claims = format!("{{\"sub\":\"user-{number}\",\"exp\":9999999999}}");
    let message = format!("{}.{}", part("{\"alg\":\"HS256\"}"), part(&claims));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = ring::hmac::sign(&key, message.as_bytes());
    format!("Bearer {message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn api_key() -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, b"some-key");
    let hex: String = digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!(
        "{{ keys: {{ partner-a: {hex} }}, from: 'header:x-api-key', consumer_header: x-consumer }}"
    )
}

criterion_group! {
    name = benches;
    config = clock::criterion();
    targets = filters
}
criterion_main!(benches);
