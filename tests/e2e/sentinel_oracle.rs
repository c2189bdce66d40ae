//! What Sentinel's own gateway adapter answered, asked of the real binary: `tests/sentinel-oracle` has the cases and how they were
//! recorded.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use pailou_nacos::{ConfigName, Publish};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::support::gateway::Gateway;
use crate::support::world::{World, until_status};

/// Timing is of the kind of a second here. A wait that is off by more is another wait.
const TOLERANCE_MS: i64 = 600;

/// A machine that stalls looks like another answer. What disagrees is asked again of a new gateway.
const ROUNDS: usize = 4;

#[derive(Clone, Debug, Deserialize)]
struct Case {
    name: String,
    #[serde(default)]
    rules: Vec<Value>,
    #[serde(default)]
    groups: Vec<Value>,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, Deserialize)]
struct Step {
    send: Option<usize>,
    wait_ms: Option<u64>,
    every_ms: Option<u64>,
    #[serde(default)]
    slow_ms: u64,
    #[serde(default = "to")]
    to: String,
    #[serde(default = "method")]
    method: String,
    client: Option<IpAddr>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

fn to() -> String {
    "a/x".to_owned()
}

fn method() -> String {
    "GET".to_owned()
}

#[derive(Clone, Debug, Deserialize)]
struct Recorded {
    name: String,
    steps: Vec<Answers>,
}

/// What the requests of a step got.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Answers {
    statuses: Vec<u16>,
    waits_ms: Vec<i64>,
    told: Option<Told>,
}

/// What the first one was told that was blocked.
#[derive(Clone, Debug, Deserialize, PartialEq)]
struct Told {
    content_type: String,
    body: String,
}

/// Where the gateway differs on purpose.
#[derive(Debug, Deserialize)]
struct Difference {
    name: String,
    reason: String,
}

fn read<T: for<'de> Deserialize<'de>>(file: &str) -> Vec<T> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/sentinel-oracle");
    let text = std::fs::read_to_string(Path::new(folder).join(file)).expect("a file");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_get_what_the_adapter_of_sentinel_gives_them() {
    let cases: Vec<Case> = read("cases.json");
    let recorded: Vec<Recorded> = read("recorded.json");
    let announced: Vec<Difference> = read("differences.json");
    let recorded: BTreeMap<_, _> = recorded
        .into_iter()
        .map(|recorded| (recorded.name, recorded.steps))
        .collect();
    assert_eq!(cases.len(), recorded.len());

    let mut open = cases.clone();
    let mut differ = BTreeMap::new();
    for _ in 0..ROUNDS {
        differ = run(&open, &recorded).await;
        let is_surprise = |name: &str| announced.iter().all(|known| known.name != name);
        open.retain(|case| differ.contains_key(&case.name) && is_surprise(&case.name));
        differ.retain(|name, _| is_surprise(name));
        if open.is_empty() {
            break;
        }
    }
    println!(
        "sentinel: {} cases, {} agree, {} announced, {} disagree",
        cases.len(),
        cases.len() - announced.len() - differ.len(),
        announced.len(),
        differ.len()
    );
    assert!(announced.iter().all(|known| !known.reason.is_empty()));
    let lines: Vec<_> = differ.values().map(String::as_str).collect();
    assert!(lines.is_empty(), "{}", lines.join("\n"));
}

/// Asks a new gateway, and says of each case that got something else what it got.
async fn run(
    cases: &[Case],
    recorded: &BTreeMap<String, Vec<Answers>>,
) -> BTreeMap<String, String> {
    let world = World::new().await;
    let gateway = gateway(&world, cases).await;
    let address = gateway.data();
    let mut asked = JoinSet::new();
    for case in cases.iter().cloned() {
        asked.spawn(async move {
            let mut answers = Vec::new();
            for step in &case.steps {
                answers.push(run_step(address, &case.name, step).await);
            }
            (case, answers)
        });
    }
    let mut differ = BTreeMap::new();
    while let Some(done) = asked.join_next().await {
        let (case, answers) = done.expect("no panic");
        let expected = &recorded[&case.name];
        let pairs = answers.iter().zip(expected);
        let mut wrong = pairs.filter(|(got, expected)| !agree(got, expected));
        if let Some((got, expected)) = wrong.next() {
            let line = format!("{}: {got:?}, and the adapter {expected:?}", case.name);
            differ.insert(case.name, line);
        }
    }
    differ
}

fn agree(got: &Answers, expected: &Answers) -> bool {
    let waits = got.waits_ms.iter().zip(&expected.waits_ms);
    let mut passed = waits
        .zip(&expected.statuses)
        .filter(|(_, status)| **status == 200);
    let same_waits = passed.all(|((got, expected), _)| (got - expected).abs() <= TOLERANCE_MS);
    got.statuses == expected.statuses && got.told == expected.told && same_waits
}

/// A gateway with the routes and the rules of these cases.
async fn gateway(world: &World, cases: &[Case]) -> Gateway {
    let mut rules = vec![json!({ "resource": "ready", "resourceMode": 1, "count": 0 })];
    let path = json!({ "pattern": "/ready/x" });
    let mut groups = vec![json!({ "apiName": "ready", "predicateItems": [path] })];
    for case in cases {
        let named = |item: &Value| -> Value {
            let text = item.to_string().replace('$', &case.name);
            serde_json::from_str(&text).expect("JSON")
        };
        rules.extend(case.rules.iter().map(named));
        groups.extend(case.groups.iter().map(named));
    }
    let client = world.client();
    for (data_id, items) in [("gw-flow", rules), ("gw-api", groups)] {
        let name = ConfigName::new("SENTINEL_GROUP", data_id);
        let text = Value::from(items).to_string();
        let published = client.publish_config(&name, &text, Publish::default());
        published.await.expect("a publish");
    }
    let document = routes(cases, backend().await);
    world.publish(&document).await;
    let settings = "sentinel: { flow_rules: gw-flow, api_groups: gw-api, group: SENTINEL_GROUP }";
    let gateway = world.gateway_with(settings).await;
    until_status(&gateway.url("/ready/x"), 429).await;
    gateway
}

/// Two routes for each case, and CORS for those that are about it.
fn routes(cases: &[Case], backend: SocketAddr) -> String {
    let mut routes = vec![
        json!({ "id": "r", "uri": format!("http://{backend}"), "predicates": ["Path=/ready/**"] }),
    ];
    let mut cors = serde_json::Map::new();
    for case in cases {
        let name = &case.name;
        for route in ["a", "b"] {
            routes.push(json!({
                "id": format!("{name}-{route}"),
                "uri": format!("http://{backend}"),
                "predicates": [format!("Path=/{name}/{route}/**")],
            }));
        }
        if name.starts_with("cors") {
            let allowed =
                json!({ "allowedOrigins": ["https://ok.test"], "allowedMethods": ["GET"] });
            cors.insert(format!("[/{name}/**]"), allowed);
        }
    }
    let settings = json!({ "routes": routes, "globalcors": { "corsConfigurations": cors } });
    json!({ "spring": { "cloud": { "gateway": { "server": { "webflux": settings } } } } })
        .to_string()
}

async fn run_step(address: SocketAddr, case: &str, step: &Step) -> Answers {
    let Some(count) = step.send else {
        let wait = step.wait_ms.expect("a step sends or waits");
        tokio::time::sleep(Duration::from_millis(wait)).await;
        return Answers::default();
    };
    let mut answers = Vec::new();
    match step.every_ms {
        None => {
            for _ in 0..count {
                answers.push(ask(address, case.to_owned(), step.clone()).await);
            }
        }
        Some(every) => {
            let mut asked = Vec::new();
            for _ in 0..count {
                asked.push(tokio::spawn(ask(address, case.to_owned(), step.clone())));
                tokio::time::sleep(Duration::from_millis(every)).await;
            }
            for answer in asked {
                answers.push(answer.await.expect("no panic"));
            }
        }
    }
    let mut blocked = answers.iter().filter(|answer| answer.0 == 429);
    Answers {
        told: blocked.next().map(|answer| answer.2.clone()),
        statuses: answers.iter().map(|answer| answer.0).collect(),
        waits_ms: match step.every_ms {
            Some(_) => answers.iter().map(|answer| answer.1).collect(),
            None => Vec::new(),
        },
    }
}

/// One request on a connection of its own: its status, how long it waited, and what it was told.
async fn ask(address: SocketAddr, case: String, step: Step) -> (u16, i64, Told) {
    let client = reqwest::Client::builder().local_address(step.client);
    let client = client.build().expect("a client");
    let method = step.method.parse().expect("a method");
    let url = format!("http://{address}/{case}/{}", step.to);
    let mut request = client.request(method, url);
    for (name, value) in &step.headers {
        request = request.header(name, value);
    }
    if step.slow_ms > 0 {
        request = request.header("x-slow-ms", step.slow_ms);
    }
    let began = Instant::now();
    let answer = request.send().await.expect("an answer");
    let took = began.elapsed().as_millis() as i64 - step.slow_ms as i64;
    let status = answer.status().as_u16();
    let kind = answer.headers().get("content-type");
    let content_type = kind
        .map_or("", |kind| kind.to_str().expect("text"))
        .to_owned();
    let body = answer.text().await.expect("a body");
    (status, took, Told { content_type, body })
}

/// Answers 200 after as many milliseconds as `x-slow-ms` says.
async fn backend() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    address
}

async fn answer(stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut line, mut slow) = (String::new(), 0);
    while stream.read_line(&mut line).await? > 0 {
        if let Some(wait) = line.to_ascii_lowercase().strip_prefix("x-slow-ms:") {
            slow = wait.trim().parse().expect("milliseconds");
        }
        if line == "\r\n" {
            tokio::time::sleep(Duration::from_millis(std::mem::take(&mut slow))).await;
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                .await?;
        }
        line.clear();
    }
    Ok(())
}
