//! One document's cases, in order, on a fresh gateway.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::client;
use crate::compare::{differences, distribution_differences};
use crate::corpus::{Case, Document, Line, Recorded, Recording};
use crate::exchange::{Exchange, UpstreamRequest};
use crate::lists::Key;
use crate::stage::{Played, Stage, renamed};

/// How long the access log may take for a line. Only what never became a request has none.
const LOG_PATIENCE: Duration = Duration::from_millis(500);
/// How long a backend may still get what the recording has. The answer comes later than the request but for errors.
const BACKEND_PATIENCE: Duration = Duration::from_millis(300);

/// The documents that use services with several backends: which one comes first is free, and after a retry also which one comes
/// next.
const SEVERAL: [&str; 3] = ["lb-rr", "retry", "retry-none"];
/// The one of them without retries: there one order holds for all cases.
const IN_TURNS: &str = "lb-rr";
/// Every order of three backends.
const ORDERS: [[usize; 3]; 6] = [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
];

/// What was compared and what differs, nothing if it agrees.
pub(crate) struct Judged {
    pub(crate) key: Key,
    pub(crate) differences: Vec<String>,
}

/// Plays a document and compares each case with its recording.
pub(crate) async fn run(stage: &Stage, document: &Document, line: Line) -> Vec<Judged> {
    let recording = document.recording(line).expect("a recording");
    let judged = |key, differences| Judged { key, differences };
    let mut played = match stage.play(document, line).await {
        Ok(played) => played,
        Err(reason) => {
            let started = match recording.took_every_route {
                true => vec![reason.clone()],
                false => Vec::new(),
            };
            let cases = recording
                .cases
                .keys()
                .map(|n| judged(Key::Case(*n), vec![reason.clone()]));
            return [judged(Key::Start, started)]
                .into_iter()
                .chain(cases)
                .collect();
        }
    };
    let mut all = vec![judged(
        Key::Start,
        start_differences(recording, &played).await,
    )];
    let mut orders = ORDERS.to_vec();
    if !SEVERAL.contains(&document.name.as_str()) {
        orders.truncate(1);
    }
    for case in &document.cases {
        let Some(recorded) = recording.cases.get(&case.n) else {
            continue;
        };
        if let Some(seconds) = case.pause {
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        }
        stage.backends.begin(&case.be);
        played.pass_over();
        let differences = match recorded {
            Recorded::Often(shares) => {
                let observed = repeat(stage, &mut played, case).await;
                distribution_differences(shares, &observed)
            }
            Recorded::Once(recorded) => {
                let observed = once(stage, &mut played, case, recorded).await;
                let (fitting, differences) = in_some_order(&orders, recorded, &observed, case);
                if document.name == IN_TURNS && !fitting.is_empty() {
                    orders = fitting;
                }
                differences
            }
        };
        all.push(judged(Key::Case(case.n), differences));
    }
    all
}

async fn start_differences(recording: &Recording, played: &Played) -> Vec<String> {
    let faults = played.faults().await;
    match (recording.took_every_route, faults.is_empty()) {
        (true, false) => vec![format!(
            "Spring takes every route, here is refused: {}",
            faults.join("; ")
        )],
        (false, true) => vec!["Spring refuses a route, here every one is taken".to_owned()],
        _ => Vec::new(),
    }
}

/// Sends a case's request and gathers what came of it, in the words of the recording.
async fn once(stage: &Stage, played: &mut Played, case: &Case, recorded: &Exchange) -> Exchange {
    let request = client::request(case);
    let answer = client::send(played.listener(case.src), case.src, &request).await;
    let observed = Exchange {
        route: played.route(LOG_PATIENCE).await,
        further_routes: Vec::new(),
        upstream: settled(stage, recorded.upstream.len()).await,
        answer,
    };
    observed.map_text(|text| stage.as_recorded(text))
}

/// What the backends have got, once they have as much as the recording, or shortly after.
async fn settled(stage: &Stage, expected: usize) -> Vec<UpstreamRequest> {
    let began = Instant::now();
    loop {
        let seen = stage.backends.seen();
        if seen.len() >= expected || began.elapsed() > BACKEND_PATIENCE {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn repeat(stage: &Stage, played: &mut Played, case: &Case) -> BTreeMap<String, u32> {
    let request = client::request(case);
    let mut shares = BTreeMap::new();
    for _ in 0..case.repeat.unwrap_or(1) {
        stage.backends.begin(&case.be);
        let answer = client::send(played.listener(case.src), case.src, &request).await;
        let status = answer.map_or(0, |answer| answer.status);
        // The next case's line is not one of these.
        played.route(LOG_PATIENCE).await;
        let seen = stage.backends.seen();
        let backend = seen.first().map_or("", |request| request.backend.as_str());
        *shares.entry(format!("{status}:{backend}")).or_default() += 1;
    }
    shares
}

/// The orders of backends in which nothing differs, and what differs in the one that fits best.
fn in_some_order(
    orders: &[[usize; 3]],
    recorded: &Exchange,
    observed: &Exchange,
    case: &Case,
) -> (Vec<[usize; 3]>, Vec<String>) {
    let differing = |order: &[usize; 3]| {
        let observed = observed.map_text(|text| renamed(text, *order));
        differences(recorded, &observed, &case.h)
    };
    let fits = |order: &[usize; 3]| differing(order).is_empty();
    let fitting = orders.iter().copied().filter(fits).collect();
    let best = orders.iter().map(differing).min_by_key(Vec::len);
    (fitting, best.expect("an order"))
}
