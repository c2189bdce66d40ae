//! The server's answers held against those of real servers, request by request.
//!
//! `tests/data/` has logs of real 3.1.0 and 2.3.1 servers. Each test plays the client's half of a log and compares
//! what comes back with what the real server sent. Where the two differ on purpose, the difference is listed here
//! with its reason. Times are not compared: pushes are sent here when the log has one, so that a slow machine cannot
//! change what is gathered in one. The delays are tested with a clock of their own next to the code.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use pailou_nacos_lite::{DEFAULT_GROUP, Instance, Options, Registry, ServiceKey};
use serde_json::{Value, json};

use tokio::time::timeout;

use crate::raw::{Message, PATIENCE, RawClient, STREAM_END};

const NACOS_3_1_0: &str = include_str!("../data/nacos-3.1.0.json");
const NACOS_2_3_1: &str = include_str!("../data/nacos-2.3.1.json");

/// So long that no push is sent by itself.
const NEVER: Duration = Duration::from_secs(3600);

/// Namespaces of the logs; their pushes do not say which they are for.
const NAMESPACES: [&str; 4] = ["public", "", "dev-1", "dev-2"];

/// Fields that no two runs share.
const VOLATILE: [&str; 5] = [
    "requestId",
    "lastRefTime",
    "lastModified",
    "connectionId",
    "timestamp",
];

/// Why steps of a log are left out.
enum Skip {
    /// All steps from this time on.
    After(f64),
    /// What came at this time.
    At(f64),
    /// Messages of this type to this connection.
    Pushes(&'static str, &'static str),
    /// Pushes of this service.
    Service(&'static str),
}

struct Replay {
    registry: Registry,
    clients: BTreeMap<String, RawClient>,
    /// Connections of a log that starts after their set-up.
    sets_up: bool,
    /// What stands for the tokens in a log.
    tokens: HashMap<String, String>,
    differences: Vec<String>,
}

#[tokio::test]
async fn handshakes() {
    let log = scenarios(NACOS_3_1_0);
    let names: Vec<_> = log
        .keys()
        .filter(|name| name.starts_with("handshake/"))
        .cloned()
        .collect();
    assert_eq!(names.len(), 11);
    for name in names {
        let mut replay = Replay::start(options(), false).await;
        let skips: &[Skip] = match name.as_str() {
            // Detection is played with its own, shorter times.
            "handshake/02_setup_null_ability" => &[Skip::Pushes("c", "ClientDetectionRequest")],
            "handshake/10_silent_no_detection_answer" => continue,
            _ => &[],
        };
        replay.play(&log, &name, skips).await;
        replay.finish();
    }
}

#[tokio::test]
async fn detection() {
    let log = scenarios(NACOS_3_1_0);
    let times = || Options {
        detect_after: Duration::from_millis(300),
        detect_timeout: Duration::from_secs(1),
        ..options()
    };
    let mut replay = Replay::start(times(), false).await;
    replay
        .play(&log, "handshake/10_silent_no_detection_answer", &[])
        .await;
    replay.finish();

    let mut replay = Replay::start(times(), true).await;
    replay
        .play(&log, "naming2/15_silent_publisher_removed", &[])
        .await;
    replay.finish();
}

#[tokio::test]
async fn naming() {
    let log = scenarios(NACOS_3_1_0);
    let mut replay = Replay::start(options(), true).await;
    let detection = |connection| Skip::Pushes(connection, "ClientDetectionRequest");
    for (name, skips) in [
        ("naming/01_unknown_service", vec![]),
        (
            "naming/02_register_query_subscribe_push",
            vec![detection("sub2")],
        ),
        ("naming/03_batch_register", vec![detection("pub1")]),
        ("naming/04_unhealthy_disabled_weight0", vec![]),
        // From there on the real server answers with the state of a moment before, and its push comes much later.
        ("naming/06_protect_threshold", vec![Skip::After(17_230.0)]),
        ("naming/07_service_list", vec![]),
        ("naming/08_namespace_forms", vec![]),
        ("naming/09_names_form_group_prefix", vec![]),
        // That late push.
        (
            "naming/10_abrupt_close_of_publisher",
            vec![Skip::Service("prot")],
        ),
        // Others are detected while this one does not acknowledge; one repetition is enough.
        (
            "naming/13_no_ack",
            vec![detection("pub0"), Skip::After(31_000.0)],
        ),
        // An answer that does not know yet of the instance that was registered 1 ms before.
        (
            "naming2/16_protection_again",
            vec![detection("p3"), Skip::At(2462.9)],
        ),
        ("naming2/18_same_name_two_namespaces_one_connection", vec![]),
        ("naming3/20_persistent", vec![]),
        ("naming3/21_services", vec![]),
        ("naming3/22_kinds", vec![]),
    ] {
        replay.play(&log, name, &skips).await;
    }
    replay.finish();
}

#[tokio::test]
async fn operators_edits() {
    // The log of 2.3.1: there the operator uses HTTP v1, as here.
    let log = scenarios(NACOS_2_3_1);
    let mut replay = Replay::start(options(), true).await;
    replay
        .play(&log, "naming/04_unhealthy_disabled_weight0", &[])
        .await;
    replay
        .play(&log, "naming/05_weight_enabled_edit_by_operator", &[])
        .await;
    replay.finish();
}

#[tokio::test]
async fn configs() {
    let log = scenarios(NACOS_3_1_0);
    let mut replay = Replay::start(options(), true).await;
    for (name, skips) in [
        ("config/01_missing", vec![]),
        ("config/02_created_after_listen", vec![]),
        ("config/03_listen_md5_variants", vec![]),
        ("config/04_update_same_blank_remove", vec![]),
        ("config/05_listen_false", vec![]),
        // From there on HTTP v3.
        ("config/06_http_publish", vec![Skip::After(8_900.0)]),
        ("config/07_tenant_forms", vec![]),
        ("config/08_types_and_size", vec![]),
        (
            "config/09_bad_params",
            vec![Skip::Pushes("c", "ClientDetectionRequest")],
        ),
        // Repetitions come after seconds; they are tested with a paused clock.
        ("config/10_config_no_ack", vec![Skip::After(19_000.0)]),
    ] {
        replay.play(&log, name, &skips).await;
    }
    replay.finish();
}

#[tokio::test]
async fn tokens() {
    let log = scenarios(NACOS_3_1_0);
    let auth = Some(("nacos".to_owned(), "nacos".to_owned()));
    let mut replay = Replay::start(Options { auth, ..options() }, true).await;
    let old = login(&replay.registry).await;
    replay.registry.faults().expire_tokens();
    let valid = login(&replay.registry).await;
    replay.tokens = HashMap::from([
        ("VALID".into(), valid),
        ("EXPIRED".into(), old),
        ("OTHER_KEY".into(), "eyJhbGciOiJIUzI1NiJ9.e30.x".into()),
        // Opaque tokens do not name a user: this is another server's token like the one above.
        ("UNKNOWN_USER".into(), "eyJhbGciOiJIUzI1NiJ9.e30.y".into()),
    ]);
    replay.play(&log, "auth/03_grpc", &[]).await;
    let another_users = |difference: &String| {
        difference.contains("authorization failed!") && difference.contains("Invalid signature.")
    };
    replay
        .differences
        .retain(|difference| !another_users(difference));
    replay.finish();
}

#[tokio::test]
async fn pushes_go_on_when_the_token_has_expired() {
    let auth = Some(("nacos".to_owned(), "nacos".to_owned()));
    let registry = Registry::start(Options { auth, ..options() })
        .await
        .expect("there are free ports");
    let headers = HashMap::from([("accessToken".to_owned(), login(&registry).await)]);
    let mut client = RawClient::ready(registry.grpc_addr()).await;
    let service = json!({"namespace": "public", "serviceName": "expi", "groupName": "DEFAULT_GROUP", "subscribe": true});
    let answer = client
        .call_with("SubscribeServiceRequest", &service, &headers)
        .await;
    assert_eq!(answer.body["resultCode"], 200);
    registry.faults().expire_tokens();
    let answer = client
        .call_with("ServiceQueryRequest", &service, &headers)
        .await;
    assert_eq!(
        (&answer.body["errorCode"], answer.kind.as_str()),
        (&json!(403), "QueryServiceResponse")
    );
    registry.put_instance("expi", Instance::new("10.0.0.1", 1));
    registry.push_now("expi");
    let push = client.next_of("NotifySubscriberRequest").await;
    assert_eq!(push.body["serviceInfo"]["hosts"][0]["ip"], "10.0.0.1");
}

fn options() -> Options {
    Options {
        push_delay: NEVER,
        push_timeout: Duration::from_secs(2),
        push_retry: Duration::from_millis(10),
        detect_after: NEVER,
        ..Options::default()
    }
}

async fn login(registry: &Registry) -> String {
    let url = format!("http://{}/nacos/v1/auth/login", registry.http_addr());
    let form = [("username", "nacos"), ("password", "nacos")];
    let answer = reqwest::Client::new()
        .post(url)
        .form(&form)
        .send()
        .await
        .expect("the server answers");
    let body: Value = answer.json().await.expect("the answer is JSON");
    body["accessToken"]
        .as_str()
        .expect("there is a token")
        .to_owned()
}

fn scenarios(text: &str) -> BTreeMap<String, Vec<Value>> {
    let log: Value = serde_json::from_str(text).expect("the log is JSON");
    serde_json::from_value(log["scenarios"].clone()).expect("scenarios are lists of steps")
}

impl Replay {
    async fn start(options: Options, sets_up: bool) -> Self {
        let registry = Registry::start(options)
            .await
            .expect("there are free ports");
        Self {
            registry,
            clients: BTreeMap::new(),
            sets_up,
            tokens: HashMap::new(),
            differences: Vec::new(),
        }
    }

    async fn play(&mut self, log: &BTreeMap<String, Vec<Value>>, name: &str, skips: &[Skip]) {
        let steps = &log[name];
        let mut answer = None;
        for step in steps
            .iter()
            .filter(|step| !skips.iter().any(|skip| skip.applies(step)))
        {
            let at = format!("{name} at {}", step["t"]);
            let (connection, direction) = (text(&step["conn"]), text(&step["dir"]));
            match direction {
                "->" => answer = Some(self.call(connection, step).await),
                "<-" => {
                    let ours = answer.take().expect("a request comes before its answer");
                    self.compare(&at, step, ours);
                }
                "=>" => {
                    let client = self.client(connection).await;
                    client.send(text(&step["type"]), &step["body"]).await;
                    // The log polls here too, and shows the last poll only.
                    client.wait_until_known().await;
                }
                "<=" if is_local_end(step) => self.close(connection).await,
                "<=" => {
                    let ours = self.pushed(connection, step).await;
                    self.compare(&at, step, ours);
                }
                ".." => {}
                request => self.http(&at, request, step).await,
            }
        }
        self.expect_silence(name, steps).await;
    }

    fn finish(self) {
        assert!(
            self.differences.is_empty(),
            "differences:\n{}",
            self.differences.join("\n")
        );
    }

    async fn client(&mut self, name: &str) -> &mut RawClient {
        // In the log this is a second stream on the connection of the first.
        if name == "stream2" && !self.clients.contains_key(name) {
            let mut client = RawClient::connect(self.registry.grpc_addr()).await;
            client.set_up().await;
            client.open_stream().await;
            self.clients.insert(name.to_owned(), client);
        }
        if !self.clients.contains_key(name) {
            let client = RawClient::connect(self.registry.grpc_addr()).await;
            let mut client = if matches!(name, "noack" | "silent" | "silentpub") {
                client.silent()
            } else {
                client
            };
            if self.sets_up {
                client.set_up().await;
            }
            self.clients.insert(name.to_owned(), client);
        }
        self.clients.get_mut(name).expect("it was just put there")
    }

    /// The client goes away, and the server notices.
    async fn close(&mut self, connection: &str) {
        let before = self.registry.connections();
        if self.clients.remove(connection).is_none() {
            return;
        }
        let noticed = async {
            while self.registry.connections() == before {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(PATIENCE, noticed)
            .await
            .expect("the server notices");
    }

    async fn call(&mut self, connection: &str, step: &Value) -> Message {
        let tokens = self.tokens.clone();
        let with_tokens = |text: &str| {
            tokens
                .iter()
                .fold(text.to_owned(), |text, (name, it)| text.replace(name, it))
        };
        let body: Value =
            serde_json::from_str(&with_tokens(&step["body"].to_string())).expect("still JSON");
        let headers = step["meta"].as_object().into_iter().flatten();
        let headers = headers
            .map(|(name, value)| (name.clone(), with_tokens(text(value))))
            .collect();
        let kind = text(&step["type"]);
        self.client(connection)
            .await
            .call_with(kind, &body, &headers)
            .await
    }

    /// The push that the log expects; pushes of different services and configs have no order.
    async fn pushed(&mut self, connection: &str, step: &Value) -> Message {
        let service = step["body"]["serviceInfo"]["name"].clone();
        let kind = text(&step["type"]);
        self.push_now(text(&service));
        let wanted = |message: &Message| {
            message.kind == kind && message.body["serviceInfo"]["name"] == service
        };
        self.client(connection).await.next_where(wanted).await
    }

    fn push_now(&self, service: &str) {
        for namespace in NAMESPACES {
            self.registry
                .push_now(ServiceKey::new(namespace, DEFAULT_GROUP, service));
        }
    }

    async fn http(&mut self, at: &str, request: &str, step: &Value) {
        let (method, path) = request.split_once(' ').expect("method and path");
        let url = format!("http://{}/nacos{path}", self.registry.http_addr());
        let method = method.parse().expect("a method");
        let query: Vec<(String, String)> = step["query"]
            .as_object()
            .expect("parameters")
            .iter()
            .map(parameter)
            .collect();
        let answer = reqwest::Client::new()
            .request(method, url)
            .query(&query)
            .send()
            .await
            .expect("the server answers");
        let kind = answer.status().as_u16().to_string();
        let body = answer.text().await.expect("the answer is text");
        let body = serde_json::from_str(&body).unwrap_or(Value::String(body));
        let expected = json!({"type": step["type"].to_string(), "body": step["body"]});
        self.compare(at, &expected, Message { kind, body });
    }

    fn compare(&mut self, at: &str, step: &Value, ours: Message) {
        let theirs = Message {
            kind: text(&step["type"]).to_owned(),
            body: normal(step["body"].clone()),
        };
        let ours = Message {
            body: normal(ours.body),
            ..ours
        };
        if ours != theirs {
            self.differences
                .push(format!("{at}\n  theirs {theirs:?}\n  ours   {ours:?}"));
        }
    }

    /// Nothing is sent beyond what the log shows.
    async fn expect_silence(&mut self, scenario: &str, steps: &[Value]) {
        for step in steps {
            self.push_now(text(&step["body"]["serviceName"]));
        }
        for (name, client) in &mut self.clients {
            // An answer comes after what was sent before it, or nearly so: a miss only makes the test milder.
            client.call("ServerCheckRequest", &json!({})).await;
            for message in client.unread() {
                let is_of_silence =
                    message.kind == "ClientDetectionRequest" || message.kind == STREAM_END;
                // Whoever does not acknowledge is told again and again.
                if name != "noack" && !is_of_silence {
                    self.differences
                        .push(format!("{scenario}: {name} was also sent {message:?}"));
                }
            }
        }
    }
}

impl Skip {
    fn applies(&self, step: &Value) -> bool {
        match self {
            Skip::After(time) => step["t"].as_f64().is_some_and(|at| at >= *time),
            Skip::At(time) => step["t"] == *time,
            Skip::Pushes(connection, kind) => step["conn"] == *connection && step["type"] == *kind,
            Skip::Service(name) => step["body"]["serviceInfo"]["name"] == *name,
        }
    }
}

fn is_local_end(step: &Value) -> bool {
    step["type"] == STREAM_END && step["body"]["status"] != "OK"
}

fn parameter((name, value): (&String, &Value)) -> (String, String) {
    (
        name.clone(),
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned),
    )
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A body without what may differ:
/// - numbers and times of the run;
/// - the order of hosts, of names and of keys;
/// - `allIPs`, which 3.x spells `allIps`;
/// - `instanceIdGenerator`, which repeats a default;
/// - `instanceId` in bare lists of hosts, which real servers leave out of what was registered over HTTP v3;
/// - a name that is absent where the request left it out: it is empty here;
/// - an empty list of names, which failures leave out;
/// - what the server says it can do, of which this one does nothing.
fn normal(mut body: Value) -> Value {
    if body.get("status").is_some() && body.get("path").is_none() {
        return json!({"status": body["status"].as_str().map(str::to_uppercase)});
    }
    let Some(fields) = body.as_object_mut() else {
        return body;
    };
    VOLATILE.iter().for_each(|field| {
        fields.remove(*field);
    });
    if let Some(abilities) = fields
        .get_mut("abilityTable")
        .and_then(Value::as_object_mut)
    {
        abilities.values_mut().for_each(|able| *able = json!("any"));
    }
    if let Some(names) = fields.get_mut("serviceNames").and_then(Value::as_array_mut) {
        names.sort_by_key(Value::to_string);
    }
    if fields.get("success") == Some(&json!(false)) {
        fields.remove("serviceNames");
    }
    if let Some(info) = fields.remove("serviceInfo") {
        fields.insert("serviceInfo".into(), normal(info));
    }
    if let Some(all_ips) = fields.remove("allIPs") {
        fields.insert("allIps".into(), all_ips);
    }
    if let Some(hosts) = fields.get_mut("data").and_then(Value::as_array_mut) {
        hosts.sort_by_key(|host| host["ip"].to_string());
        for host in hosts.iter_mut().filter_map(Value::as_object_mut) {
            host.remove("instanceId");
            host.remove("instanceIdGenerator");
        }
    }
    if let Some(hosts) = fields.get_mut("hosts").and_then(Value::as_array_mut) {
        for host in hosts.iter_mut().filter_map(Value::as_object_mut) {
            host.remove("instanceIdGenerator");
        }
        hosts.sort_by_key(|host| host["instanceId"].to_string());
        for name in ["name", "groupName"] {
            if fields.get(name).is_some_and(|value| value == "") {
                fields.remove(name);
            }
        }
    }
    body
}
