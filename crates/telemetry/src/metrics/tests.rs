use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use crate::AccessLog;
use crate::events::{
    DocumentApplied, DocumentHome, DocumentMissing, DocumentRefused, EndpointEjected, RequestDone,
    SessionConnected, SessionLost, TransportChanged,
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
        client: None,
        upstream: None,
        tries: 2,
        duration: Duration::from_millis(20),
        bytes_in: 0,
        bytes_out: 7,
    }
}

fn has(text: &str, line: &str) -> bool {
    text.lines().any(|found| found == line)
}

#[test]
fn a_request_shows_in_its_routes_series() {
    let metrics = Metrics::new();
    let route = metrics.route("users", "DEFAULT_GROUP@@user-service");
    done(Some(&route), 200, None).record(&metrics, &AccessLog::off());
    done(Some(&route), 502, Some("connect_refused")).record(&metrics, &AccessLog::off());
    done(None, 404, Some("no_route")).record(&metrics, &AccessLog::off());
    done(Some(&route), 0, Some("client_gone")).record(&metrics, &AccessLog::off());
    let text = metrics.render();
    let labels = "route=\"users\",service=\"DEFAULT_GROUP@@user-service\"";
    for line in [
        format!("pailou_requests_total{{{labels},status_class=\"2xx\"}} 1"),
        format!("pailou_requests_total{{{labels},status_class=\"5xx\"}} 1"),
        format!("pailou_requests_total{{{labels},status_class=\"none\"}} 1"),
        "pailou_requests_total{route=\"\",service=\"\",status_class=\"4xx\"} 1".to_owned(),
        format!("pailou_request_duration_seconds_count{{{labels}}} 3"),
        format!("pailou_request_duration_seconds_bucket{{le=\"0.025\",{labels}}} 3"),
        format!("pailou_request_duration_seconds_bucket{{le=\"+Inf\",{labels}}} 3"),
        format!("pailou_request_retries_total{{{labels}}} 3"),
        format!("pailou_response_body_bytes_total{{{labels}}} 21"),
        format!("pailou_request_causes_total{{{labels},cause=\"connect_refused\"}} 1"),
    ] {
        assert!(has(&text, &line), "{line}\n{text}");
    }
}

#[test]
fn a_removed_routes_series_goes_and_a_kept_one_counts_on() {
    let metrics = Metrics::new();
    let first = metrics.route("users", "user-service");
    done(Some(&first), 200, None).record(&metrics, &AccessLog::off());
    let again = metrics.route("users", "user-service");
    assert!(Arc::ptr_eq(&first, &again));
    drop(first);
    assert!(metrics.render().contains("route=\"users\""));
    drop(again);
    assert!(!metrics.render().contains("route=\"users\""));
    assert!(lock(&metrics.state.routes).is_empty());
}

#[test]
fn dead_series_do_not_pile_up_without_a_scrape() {
    let metrics = Metrics::new();
    for n in 0..10_000 {
        drop(metrics.route(&n.to_string(), "service"));
        drop(metrics.service(&n.to_string()));
    }
    assert!(lock(&metrics.state.routes).len() < 100);
    assert!(lock(&metrics.state.services).len() < 100);
}

#[test]
fn a_service_shows_its_endpoints_and_ejections() {
    let metrics = Metrics::new();
    let service = metrics.service("user-service");
    service.set_endpoints(EndpointCounts {
        eligible: 2,
        ejected: 1,
        ineligible: 3,
        held: 0,
    });
    let address: SocketAddr = "127.0.0.1:80".parse().unwrap();
    EndpointEjected {
        service: "user-service",
        address,
        cause: "refused",
        backoff: Duration::from_secs(1),
        is_again: false,
    }
    .record(&metrics);
    let text = metrics.render();
    for line in [
        "pailou_service_endpoints{service=\"user-service\",state=\"eligible\"} 2",
        "pailou_service_endpoints{service=\"user-service\",state=\"ineligible\"} 3",
        "pailou_service_ejections_total{service=\"user-service\",cause=\"refused\"} 1",
        "pailou_service_panic{service=\"user-service\"} 0",
    ] {
        assert!(has(&text, line), "{line}\n{text}");
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
    let text = metrics.render();
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
    let text = metrics.render();
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
    assert!(has(&metrics.render(), "pailou_sessions 1"));
    SessionLost {
        nacos: "default",
        namespace: "",
        server: "127.0.0.1:8849",
        error: "reset",
    }
    .record(&metrics);
    let text = metrics.render();
    assert!(has(&text, "pailou_sessions 0"));
    assert!(has(&text, "pailou_session_losses_total 1"));
    assert!(has(&text, "pailou_session_transport_changes_total 1"));
}

#[test]
fn what_is_open_is_counted_until_its_guard_goes() {
    let metrics = Metrics::new();
    let (connection, request) = (metrics.connection_opened(), metrics.request_started());
    metrics.connection_refused("limit");
    let text = metrics.render();
    assert!(has(&text, "pailou_connections_open 1") && has(&text, "pailou_requests_in_flight 1"));
    drop((connection, request));
    let text = metrics.render();
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
    let _route = metrics.route("a\"b\\c\nd", "s");
    done(Some(&_route), 200, None).record(&metrics, &AccessLog::off());
    let text = metrics.render();
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
    let text = metrics.render();
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
