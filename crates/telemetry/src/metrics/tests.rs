use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use crate::AccessLog;
use crate::events::{
    DocumentApplied, DocumentHome, DocumentMissing, DocumentRefused, EndpointEjected,
    EndpointRefused, RequestDone, SessionConnected, SessionLost, SettingsRefused, SettingsReloaded,
    StreamKind, TablePublished, TransportChanged,
};

fn done<'a>(
    route: Option<&'a RouteMetrics>,
    status: u16,
    cause: Option<&'static str>,
) -> RequestDone<'a> {
    RequestDone {
        route,
        method: "GET",
        path: "/",
        status,
        cause,
        request_id: "id",
        tries: 2,
        duration: Duration::from_millis(20),
        first_byte: (status > 0).then_some(Duration::from_millis(8)),
        upstream_duration: Some(Duration::from_millis(4)),
        bytes_out: 7,
        ..RequestDone::default()
    }
}

/// A service of the usual namespace and group.
fn users() -> ServiceLabels {
    ServiceLabels {
        nacos: "default".into(),
        namespace: "public".into(),
        group: "DEFAULT_GROUP".into(),
        service: "user-service".into(),
    }
}

const USERS: &str =
    "nacos=\"default\",namespace=\"public\",group=\"DEFAULT_GROUP\",service=\"user-service\"";
const NOBODY: &str = "nacos=\"\",namespace=\"\",group=\"\",service=\"\"";

fn render(metrics: &Metrics) -> String {
    metrics.render_as(TextFormat::OpenMetrics)
}

fn has(text: &str, line: &str) -> bool {
    text.lines().any(|found| found == line)
}

#[test]
fn a_request_shows_in_its_routes_series() {
    let metrics = Metrics::new();
    let route = metrics.route("users", &users());
    done(Some(&route), 200, None).record(&metrics, &AccessLog::off());
    done(Some(&route), 502, Some("connect_failed")).record(&metrics, &AccessLog::off());
    done(None, 404, Some("no_route")).record(&metrics, &AccessLog::off());
    done(Some(&route), 0, Some("client_gone")).record(&metrics, &AccessLog::off());
    let text = render(&metrics);
    let labels = format!("route=\"users\",{USERS}");
    let unrouted = format!("route=\"\",{NOBODY}");
    for line in [
        format!("pailou_requests_total{{{labels},method=\"GET\",status_code=\"200\"}} 1"),
        format!("pailou_requests_total{{{labels},method=\"GET\",status_code=\"502\"}} 1"),
        format!("pailou_requests_total{{{labels},method=\"GET\",status_code=\"none\"}} 1"),
        format!("pailou_requests_total{{{unrouted},method=\"GET\",status_code=\"404\"}} 1"),
        format!("pailou_request_duration_seconds_count{{{labels}}} 3"),
        format!("pailou_request_duration_seconds_bucket{{le=\"0.025\",{labels}}} 3"),
        format!("pailou_request_duration_seconds_bucket{{le=\"+Inf\",{labels}}} 3"),
        format!("pailou_request_first_byte_seconds_count{{{labels}}} 2"),
        format!("pailou_request_first_byte_seconds_bucket{{le=\"0.01\",{labels}}} 2"),
        format!("pailou_upstream_duration_seconds_bucket{{le=\"0.005\",{labels}}} 3"),
        format!("pailou_request_retries_total{{{labels}}} 3"),
        format!("pailou_response_body_bytes_total{{{labels}}} 21"),
        format!("pailou_request_causes_total{{{labels},cause=\"connect_failed\"}} 1"),
        format!("pailou_request_causes_total{{{unrouted},cause=\"no_route\"}} 1"),
    ] {
        assert!(has(&text, &line), "{line}\n{text}");
    }
    assert_eq!(route.requests(), 3);
}

/// A socket that was open for a day says nothing of how fast a service is.
#[test]
fn a_stream_is_in_a_histogram_of_its_own() {
    let metrics = Metrics::new();
    let route = metrics.route("users", &users());
    for (stream, seconds) in [
        (StreamKind::Tunnel, 100_000),
        (StreamKind::EventStream, 20),
        (StreamKind::Grpc, 0),
    ] {
        let done = RequestDone {
            stream: Some(stream),
            duration: Duration::from_secs(seconds),
            ..done(Some(&route), 200, None)
        };
        done.record(&metrics, &AccessLog::off());
    }
    let text = render(&metrics);
    let labels = format!("route=\"users\",{USERS}");
    let name = "pailou_stream_duration_seconds";
    for line in [
        format!("{name}_sum{{{labels},kind=\"tunnel\"}} 100000.0"),
        format!("{name}_bucket{{le=\"86400.0\",{labels},kind=\"tunnel\"}} 0"),
        format!("{name}_bucket{{le=\"30.0\",{labels},kind=\"event_stream\"}} 1"),
        format!("{name}_bucket{{le=\"1.0\",{labels},kind=\"grpc\"}} 1"),
        format!("pailou_request_first_byte_seconds_count{{{labels}}} 3"),
        format!("pailou_requests_total{{{labels},method=\"GET\",status_code=\"200\"}} 3"),
    ] {
        assert!(has(&text, &line), "{line}\n{text}");
    }
    for name in [
        "pailou_request_duration_seconds",
        "pailou_upstream_duration_seconds",
    ] {
        assert!(!text.contains(&format!("{name}_count")), "{name}\n{text}");
    }
}

/// What is not there before its first event cannot be alerted on: a rate needs two values.
#[test]
fn series_are_there_at_zero() {
    let metrics = Metrics::new();
    let _held = (metrics.route("users", &users()), metrics.service(&users()));
    let text = render(&metrics);
    let labels = format!("route=\"users\",{USERS}");
    let unrouted = format!("route=\"\",{NOBODY}");
    for line in [
        format!("pailou_request_retries_total{{{labels}}} 0"),
        format!("pailou_request_causes_total{{{labels},cause=\"connect_failed\"}} 0"),
        format!("pailou_request_causes_total{{{unrouted},cause=\"no_route\"}} 0"),
        format!("pailou_service_ejections_total{{{USERS},cause=\"reset\"}} 0"),
        format!("pailou_service_holds_total{{{USERS},reason=\"empty_push\"}} 0"),
        format!("pailou_service_endpoints_refused_total{{{USERS},reason=\"weight_negative\"}} 0"),
        "pailou_connections_refused_total{reason=\"limit\"} 0".to_owned(),
        "pailou_routes_last_reload_successful 0".to_owned(),
        "pailou_documents{state=\"refused\"} 0".to_owned(),
    ] {
        assert!(has(&text, &line), "{line}\n{text}");
    }
    for odd in [
        format!("{labels},cause=\"no_route\""),
        format!("{unrouted},cause=\"connect_failed\""),
        "=\"other\"".to_owned(),
    ] {
        assert!(!text.contains(&odd), "{odd}\n{text}");
    }
}

/// A scrape of a large table must not be made of zeros.
#[test]
fn in_a_large_table_a_route_shows_from_its_first_request_on() {
    let metrics = Metrics::new();
    let routes: Vec<_> = (0..1_500)
        .map(|n| metrics.route(&n.to_string(), &users()))
        .collect();
    let lines = |text: &str| {
        text.lines()
            .filter(|line| line.contains("route=\"7\""))
            .count()
    };
    let text = render(&metrics);
    assert_eq!(lines(&text), 0);
    assert!(text.len() < 100_000, "{} bytes", text.len());
    done(Some(&routes[7]), 200, None).record(&metrics, &AccessLog::off());
    let text = render(&metrics);
    assert!(lines(&text) > 50, "{text}");
}

/// A table of many routes that nobody scraped kept its series' memory.
#[test]
fn what_a_large_table_had_is_given_back() {
    let metrics = Metrics::new();
    let service = ServiceLabels::default();
    let kept = metrics.route("kept", &service);
    let many: Vec<_> = (0..10_000)
        .map(|n| metrics.route(&format!("r{n}"), &service))
        .collect();
    let room = || lock(&metrics.state.routes).capacity();
    assert!(room() >= 10_000);
    drop(many);
    metrics.forget_unused();
    assert!(room() < 100, "{}", room());
    assert!(Arc::ptr_eq(&kept, &metrics.route("kept", &service)));
}

#[test]
fn a_removed_routes_series_goes_and_a_kept_one_counts_on() {
    let metrics = Metrics::new();
    let first = metrics.route("users", &users());
    done(Some(&first), 200, None).record(&metrics, &AccessLog::off());
    let again = metrics.route("users", &users());
    assert!(Arc::ptr_eq(&first, &again));
    drop(first);
    assert!(render(&metrics).contains("route=\"users\""));
    drop(again);
    assert!(!render(&metrics).contains("route=\"users\""));
    assert!(lock(&metrics.state.routes).is_empty());
}

#[test]
fn dead_series_do_not_pile_up_without_a_scrape() {
    let metrics = Metrics::new();
    for n in 0..10_000 {
        let service = ServiceLabels {
            service: n.to_string().into(),
            ..users()
        };
        drop(metrics.route("route", &service));
        drop(metrics.service(&service));
    }
    assert!(lock(&metrics.state.routes).len() < 100);
    assert!(lock(&metrics.state.services).len() < 100);
}

#[test]
fn a_service_shows_its_endpoints_and_ejections() {
    let metrics = Metrics::new();
    let service = metrics.service(&users());
    service.set_endpoints(EndpointCounts {
        eligible: 2,
        ejected: 1,
        check_failed: 4,
        ineligible: 3,
        held: 0,
    });
    let address: SocketAddr = "127.0.0.1:80".parse().unwrap();
    EndpointEjected {
        service: &service,
        address,
        cause: "refused",
        evidence: None,
        backoff: Duration::from_secs(1),
        is_known: false,
    }
    .record();
    for reason in ["weight is negative", "made up"] {
        let refused = EndpointRefused {
            service: &service,
            address: "x",
            reason,
        };
        refused.record();
    }
    service.count_check(None);
    service.count_check(Some("timeout"));
    let text = render(&metrics);
    for line in [
        format!("pailou_service_endpoints{{{USERS},state=\"check_failed\"}} 4"),
        format!("pailou_service_checks_passed_total{{{USERS}}} 1"),
        format!("pailou_service_checks_failed_total{{{USERS},cause=\"timeout\"}} 1"),
        format!("pailou_service_endpoints{{{USERS},state=\"eligible\"}} 2"),
        format!("pailou_service_endpoints{{{USERS},state=\"ineligible\"}} 3"),
        format!("pailou_service_ejections_total{{{USERS},cause=\"refused\"}} 1"),
        format!("pailou_service_endpoints_refused_total{{{USERS},reason=\"weight_negative\"}} 1"),
        format!("pailou_service_endpoints_refused_total{{{USERS},reason=\"other\"}} 1"),
        format!("pailou_service_panic{{{USERS}}} 0"),
    ] {
        assert!(has(&text, &line), "{line}\n{text}");
    }
}

#[test]
fn documents_are_counted_by_what_became_of_them() {
    let metrics = Metrics::new();
    DocumentRefused {
        document: "a.yaml",
        faults: 1,
        first: "1:1: wrong",
        served: true,
    }
    .record(&metrics);
    DocumentMissing {
        document: "b.yaml",
        reason: "blank",
        served: true,
        home: DocumentHome {
            group: "G",
            namespace: "",
            cure: "pailou nacos config publish b.yaml",
        },
    }
    .record(&metrics);
    let text = render(&metrics);
    assert!(
        has(&text, "pailou_documents{state=\"refused\"} 1"),
        "{text}"
    );
    assert!(
        has(&text, "pailou_documents{state=\"missing\"} 1"),
        "{text}"
    );
    DocumentApplied {
        document: "a.yaml",
        routes: 3,
        warnings: 0,
        md5: "x",
    }
    .record(&metrics);
    let text = render(&metrics);
    assert!(
        has(&text, "pailou_documents{state=\"refused\"} 0"),
        "{text}"
    );
    assert!(
        has(&text, "pailou_documents{state=\"applied\"} 1"),
        "{text}"
    );
    assert!(has(&text, "pailou_document_refusals_total 1"), "{text}");
}

#[test]
fn a_session_is_connected_until_it_is_lost() {
    let metrics = Metrics::new();
    SessionConnected {
        nacos: "default",
        namespace: "",
        server: "127.0.0.1:8848",
        transport: "grpc",
    }
    .record(&metrics);
    SessionConnected {
        nacos: "default",
        namespace: "",
        server: "127.0.0.1:8849",
        transport: "grpc",
    }
    .record(&metrics);
    TransportChanged {
        nacos: "default",
        namespace: "",
        from: "grpc",
        to: "http_v1",
    }
    .record(&metrics);
    assert!(has(&render(&metrics), "pailou_sessions 1"));
    SessionLost {
        nacos: "default",
        namespace: "",
        server: "127.0.0.1:8849",
        error: "reset",
    }
    .record(&metrics);
    let text = render(&metrics);
    assert!(has(&text, "pailou_sessions 0"));
    assert!(has(&text, "pailou_session_losses_total 1"));
    assert!(has(&text, "pailou_session_transport_changes_total 1"));
}

#[test]
fn what_is_open_is_counted_until_its_guard_goes() {
    let metrics = Metrics::new();
    let (connection, request) = (metrics.connection_opened(), metrics.request_started());
    metrics.connection_refused("limit");
    let text = render(&metrics);
    assert!(has(&text, "pailou_connections_open 1") && has(&text, "pailou_requests_in_flight 1"));
    drop((connection, request));
    let text = render(&metrics);
    assert!(has(&text, "pailou_connections_open 0") && has(&text, "pailou_requests_in_flight 0"));
    assert!(has(&text, "pailou_connections_total 1"));
    assert!(
        has(
            &text,
            "pailou_connections_refused_total{reason=\"limit\"} 1"
        ),
        "{text}"
    );
}

#[test]
fn the_text_is_well_formed_and_names_the_build_and_the_process() {
    let metrics = Metrics::new();
    let route = metrics.route("a\"b\\c\nd", &users());
    done(Some(&route), 200, None).record(&metrics, &AccessLog::off());
    let text = render(&metrics);
    assert!(text.ends_with("# EOF\n"));
    assert!(text.contains("pailou_build_info{version=\""), "{text}");
    assert!(text.contains("route=\"a\\\"b\\\\c\\nd\""), "{text}");
    #[cfg(target_os = "linux")]
    for name in [
        "process_resident_memory_bytes ",
        "process_cpu_seconds_total ",
        "process_open_fds ",
        "process_start_time_seconds ",
    ] {
        assert!(
            text.lines().any(|line| line.starts_with(name)),
            "{name}\n{text}"
        );
    }
    let mut types = BTreeSet::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        assert!(types.insert(line.to_owned()), "{line} is described twice");
    }
}

#[test]
fn the_snapshot_shows_in_its_series() {
    use crate::events::{DocumentRestored, SnapshotIgnored, SnapshotWriteFailed, SnapshotWritten};
    let metrics = Metrics::new();
    let (path, error) = ("/s", "torn");
    SnapshotIgnored { path, error }.record(&metrics);
    for log in [true, false] {
        SnapshotWriteFailed { path, error, log }.record(&metrics);
    }
    let written = SnapshotWritten {
        path,
        bytes: 7,
        recovered: true,
    };
    written.record(&metrics);
    let restored = DocumentRestored {
        document: "a.yaml",
        routes: 1,
        md5: "",
    };
    restored.record(&metrics);
    let text = render(&metrics);
    for line in [
        "pailou_snapshots_ignored_total 1",
        "pailou_snapshot_write_failures_total 2",
        "pailou_snapshot_writes_total 1",
        "pailou_snapshot_bytes 7",
        "pailou_documents{state=\"stale\"} 1",
    ] {
        assert!(has(&text, line), "{line}\n{text}");
    }
}

#[test]
fn the_last_reload_has_a_time_and_says_how_it_went() {
    let metrics = Metrics::new();
    let value = |name: &str| -> f64 {
        let text = render(&metrics);
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{name} ")));
        let value = line.and_then(|line| line.split(' ').nth(1)?.parse().ok());
        value.unwrap_or_else(|| panic!("{name}\n{text}"))
    };
    let of_routes = "pailou_routes_last_reload_success";
    assert_eq!(value(&format!("{of_routes}ful")), 0.0);
    assert_eq!(value(&format!("{of_routes}_timestamp_seconds")), 0.0);
    let applied = |document| {
        let applied = DocumentApplied {
            document,
            routes: 1,
            warnings: 0,
            md5: "",
        };
        applied.record(&metrics);
    };
    applied("a.yaml");
    applied("b.yaml");
    TablePublished {
        revision: 1,
        routes: 2,
        duplicates: 0,
        shadowed: 0,
        md5: "",
        elapsed: Duration::ZERO,
    }
    .record(&metrics);
    assert_eq!(value(&format!("{of_routes}ful")), 1.0);
    assert!(value(&format!("{of_routes}_timestamp_seconds")) > 1.7e9);
    DocumentRefused {
        document: "a.yaml",
        faults: 1,
        first: "1:1: wrong",
        served: true,
    }
    .record(&metrics);
    assert_eq!(value(&format!("{of_routes}ful")), 0.0);
    applied("b.yaml");
    assert_eq!(
        value(&format!("{of_routes}ful")),
        0.0,
        "a.yaml is refused still"
    );
    applied("a.yaml");
    assert_eq!(value(&format!("{of_routes}ful")), 1.0);

    let of_settings = "pailou_settings_last_reload_success";
    metrics.settings_taken(SystemTime::UNIX_EPOCH + Duration::from_millis(2_500));
    assert_eq!(value(&format!("{of_settings}_timestamp_seconds")), 2.5);
    SettingsRefused {
        errors: &["a fault".to_owned()],
    }
    .record(&metrics);
    assert_eq!(value(&format!("{of_settings}ful")), 0.0);
    assert_eq!(value(&format!("{of_settings}_timestamp_seconds")), 2.5);
    SettingsReloaded {
        changed: "log.level",
        need_restart: "",
    }
    .record(&metrics);
    assert_eq!(value(&format!("{of_settings}ful")), 1.0);
    assert!(value(&format!("{of_settings}_timestamp_seconds")) > 1.7e9);
}
