//! Sends copies of requests to another service, whose answers nobody gets.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HOST, TE, UPGRADE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use pailou_config::{Field, Fields, TargetSpec};
use pailou_telemetry::{Agreement, MirrorMetrics};
use pailou_upstream::Destination;

use crate::header::{self, Way};
use crate::introspect::host_of;
use crate::methods;
use crate::percent::Share;
use crate::registry::{Entry, Scope};
use crate::{RequestHead, Step};

pub(crate) const ENTRY: Entry = Entry::steps(
    "mirror",
    "{ service: user-service-next, percent: 10, methods: [GET, HEAD], timeout: 10s, in_flight: 64, body_bytes: 64KiB, drop_headers: [authorization, cookie], preserve_host: true, compare: true, log_percent: 1, name: next }",
    "Sends a copy of so many of a hundred requests (of `methods`; all of them by default) to the service, or `to: http://host:port`, as the request stands at this filter, without `drop_headers`. The answer is thrown away and counted, with `compare` by whether its status is the request's own. The request never waits for a copy. A body longer than `body_bytes` (64KiB) is not copied, nor is a request while `in_flight` (64) copies are under way.",
    compile,
);

/// What marks a copy. A request that has it is not copied.
const MARK: HeaderName = HeaderName::from_static("x-pailou-mirror");

const TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUTS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_secs(600);
const IN_FLIGHT: u64 = 64;
const MOST_IN_FLIGHT: u64 = 10_000;
const BODY_BYTES: u64 = 64 << 10;
/// A copied body is held in memory until it is sent.
const MOST_BODY_BYTES: u64 = 16 << 20;

/// What Envoy's `request_mirror_policies` and nginx's `mirror` do: a copy is sent and forgotten.
///
/// Cost: a number of the thread's generator for each request, and for each one that is copied its header map and its body.
#[derive(Debug)]
pub struct Mirror {
    destination: Destination,
    share: Share,
    /// Those that are copied; all if it is empty.
    methods: Vec<Method>,
    timeout: Duration,
    in_flight: u64,
    body_bytes: u64,
    drop_headers: Vec<HeaderName>,
    /// The Host of a copy, in the place of the request's own.
    host: Option<HeaderValue>,
    compares: bool,
    /// Of the answers that differ.
    logged: Share,
    metrics: Arc<MirrorMetrics>,
}

/// A copy of a request's head, to be sent once the request's body is there.
#[derive(Debug)]
pub struct MirrorCopy {
    /// The mirror that has made it.
    pub mirror: Arc<Mirror>,
    /// The method.
    pub method: Method,
    /// Path and query.
    pub target: Uri,
    /// The header fields, without those that frame a body.
    pub headers: HeaderMap,
}

/// A copy that is under way, until this is dropped.
#[derive(Debug)]
pub struct CopyPlace(Arc<MirrorMetrics>);

impl Drop for CopyPlace {
    fn drop(&mut self) {
        self.0.ended();
    }
}

fn compile(field: &Field<'_>, scope: &Scope<'_>) -> Option<Vec<Step>> {
    let mut fields = field.mapping()?;
    let target = TargetSpec::read(&mut fields);
    if target.is_none() {
        let expected = "`service: NAME`, or `to: http://HOST:PORT`";
        field.fault_expected("nobody to send copies to", expected);
    }
    let target = target.flatten();
    let destination = target
        .as_ref()
        .and_then(|target| scope.destinations.destination(target, field));
    let preserves_host = flag(&mut fields, "preserve_host", true);
    let compares = flag(&mut fields, "compare", false);
    let logged = Share::read(&mut fields, "log_percent", Share::NONE);
    if compares == Some(false) && logged.is_some_and(|logged| logged != Share::NONE) {
        field.fault_expected("`log_percent` without `compare`", "`compare: true`");
    }
    let share = Share::read(&mut fields, "percent", Share::ALL);
    let methods = match fields.optional("methods") {
        Some(methods) => methods::named(&methods),
        None => Some(Vec::new()),
    };
    let timeout = match fields.optional("timeout") {
        Some(timeout) => timeout.duration(TIMEOUTS),
        None => Some(TIMEOUT),
    };
    let in_flight = match fields.optional("in_flight") {
        Some(most) => most.integer(1..=MOST_IN_FLIGHT),
        None => Some(IN_FLIGHT),
    };
    let body_bytes = match fields.optional("body_bytes") {
        Some(most) => most.size(0..=MOST_BODY_BYTES),
        None => Some(BODY_BYTES),
    };
    let drop_headers = match fields.optional("drop_headers") {
        Some(names) => header::names(&names, Way::Request),
        None => Some(Vec::new()),
    };
    let name = fields.optional("name").map(|name| name.string());
    fields.finish();
    let name = match name {
        Some(name) => name?,
        None => scope.route.to_string(),
    };
    let host = match preserves_host? {
        true => None,
        false => Some(host_of(&target?)?),
    };
    Some(vec![Step::Mirror(Arc::new(Mirror {
        destination: destination?,
        share: share?,
        methods: methods?,
        timeout: timeout?,
        in_flight: in_flight?,
        body_bytes: body_bytes?,
        drop_headers: drop_headers?,
        host,
        compares: compares?,
        logged: logged?,
        metrics: scope.shared.metrics().mirror(&name),
    }))])
}

fn flag(fields: &mut Fields<'_>, key: &'static str, default: bool) -> Option<bool> {
    match fields.optional(key) {
        Some(field) => field.boolean(),
        None => Some(default),
    }
}

impl Mirror {
    /// Where copies go.
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// How long a copy may take, until its answer's head.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The most bytes of a body that is copied.
    pub fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// Whether a copy's answer is compared with its original's.
    pub fn compares(&self) -> bool {
        self.compares
    }

    /// What is measured of it.
    pub fn metrics(&self) -> &Arc<MirrorMetrics> {
        &self.metrics
    }

    /// Whether to say in the log that answers differ. Drawn for each.
    pub fn says(&self, agreement: Agreement) -> bool {
        let differs = matches!(agreement, Agreement::Different | Agreement::SameClass);
        differs && self.logged.hits()
    }

    /// What it does, for people.
    pub fn purpose(&self) -> String {
        format!(
            "sends copies to {}, which is not done here",
            self.destination.selection.service().id()
        )
    }

    /// A copy of the request as it stands, if it is one that is copied. A copy never is, nor is what may become a tunnel.
    pub fn copy(self: &Arc<Self>, head: &RequestHead<'_>) -> Option<MirrorCopy> {
        let is_out = head.effects.is_rehearsal
            || head.headers.contains_key(&MARK)
            || head.headers.contains_key(UPGRADE)
            || !(self.methods.is_empty() || self.methods.contains(head.method));
        if is_out || !self.share.hits() {
            return None;
        }
        Some(MirrorCopy {
            mirror: Arc::clone(self),
            method: head.method.clone(),
            target: Uri::from(PathAndQuery::try_from(head.target()).ok()?),
            headers: self.headers(head.headers),
        })
    }

    fn headers(&self, sent: &HeaderMap) -> HeaderMap {
        let mut headers = sent.clone();
        header::drop_of_the_connection(&mut headers);
        for name in &self.drop_headers {
            headers.remove(name);
        }
        if let Some(host) = &self.host {
            headers.insert(HOST, host.clone());
        }
        let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        if content_type.is_some_and(|name| name.starts_with(b"application/grpc")) {
            // Servers of gRPC refuse calls without it.
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
        headers.insert(MARK, HeaderValue::from_static("1"));
        headers
    }

    /// Room for one more copy under way, if there is any.
    pub fn place(&self) -> Option<CopyPlace> {
        let begins = self.metrics.begins(self.in_flight);
        begins.then(|| CopyPlace(Arc::clone(&self.metrics)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::tests::{request_head, step};

    fn mirror(args: &str) -> Arc<Mirror> {
        match step("mirror", args).expect(args) {
            Step::Mirror(mirror) => mirror,
            other => panic!("no mirror: {other:?}"),
        }
    }

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_copy_is_the_request_without_its_framing_and_its_secrets() {
        let mut sent = headers(&[
            ("host", "shop.example"),
            ("content-length", "5"),
            ("authorization", "Bearer x"),
            ("cookie", "a=b"),
            ("x-kept", "1"),
        ]);
        let before = sent.clone();
        let mirror = mirror("{ service: next, drop_headers: [Authorization, cookie] }");
        let mut head = request_head("/a", &mut sent);
        head.query = Some("b=c".into());
        let copy = mirror.copy(&head).expect("all are copied");
        assert_eq!(
            (copy.method, copy.target),
            (Method::GET, "/a?b=c".parse().expect("a target"))
        );
        let expected = [
            ("host", "shop.example"),
            ("x-kept", "1"),
            ("x-pailou-mirror", "1"),
        ];
        assert_eq!(copy.headers, headers(&expected));
        assert_eq!(sent, before, "the request itself is as it was");
    }

    #[test]
    fn a_copy_may_have_the_host_of_the_mirror() {
        for (args, expected) in [
            (
                "{ to: 'http://shadow.example:81', preserve_host: false }",
                "shadow.example:81",
            ),
            ("{ service: next, preserve_host: false }", "next"),
            ("{ service: next }", "shop.example"),
        ] {
            let mut sent = headers(&[("host", "shop.example")]);
            let copy = mirror(args)
                .copy(&request_head("/", &mut sent))
                .expect("a copy");
            assert_eq!(copy.headers["host"], expected, "{args}");
        }
    }

    #[test]
    fn copies_and_tunnels_are_not_copied() {
        let mirror = mirror("{ service: next }");
        for fields in [
            [("x-pailou-mirror", "1")],
            [("x-pailou-mirror", "")],
            [("upgrade", "websocket")],
        ] {
            let mut sent = headers(&fields);
            assert!(
                mirror.copy(&request_head("/", &mut sent)).is_none(),
                "{fields:?}"
            );
        }
        let post = self::mirror("{ service: next, methods: [POST, PUT] }");
        let mut sent = HeaderMap::new();
        assert!(post.copy(&request_head("/", &mut sent)).is_none(), "a GET");
        let mut rehearsed = request_head("/", &mut sent);
        rehearsed.effects.is_rehearsal = true;
        assert!(mirror.copy(&rehearsed).is_none());
    }

    #[test]
    fn no_more_copies_are_under_way_than_may_be() {
        let mirror = mirror("{ service: next, in_flight: 2 }");
        let places = [mirror.place(), mirror.place(), mirror.place()];
        assert_eq!(places.each_ref().map(Option::is_some), [true, true, false]);
        drop(places);
        assert!(mirror.place().is_some());
    }

    #[test]
    fn what_cannot_be_mirrored_is_refused() {
        for (args, problem) in [
            ("{}", "nobody to send copies to"),
            ("{ service: a, percent: 101 }", "from 0 to 100"),
            ("{ service: a, percent: some }", "a number from 0 to 100"),
            ("{ service: a, timeout: 1h }", "1h"),
            ("{ service: a, methods: get }", "in capitals"),
            ("{ service: a, methods: [] }", "one method or more"),
            ("{ service: a, in_flight: 0 }", "from 1 to 10000"),
            ("{ service: a, body_bytes: 1GiB }", "16MiB"),
            (
                "{ service: a, drop_headers: [host] }",
                "written by the gateway",
            ),
            ("{ service: a, log_percent: 1 }", "without `compare`"),
            ("{ service: a, share: 1 }", "unknown key"),
        ] {
            let error = step("mirror", args).expect_err(args);
            assert!(error.contains(problem), "{args}: {error}");
        }
    }
}
