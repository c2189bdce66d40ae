//! What has no route and no service.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::{count, count_with, gauge};
use crate::events::CredentialState;
use crate::metrics::{DocumentState, State};
use crate::words::OTHER;

pub(super) fn export(out: &mut DescriptorEncoder<'_>, state: &State) -> fmt::Result {
    let totals = &state.totals;
    let counters: [(&str, &str, &AtomicU64); 21] = [
        (
            "pailou_response_cache_hits",
            "Requests answered from a route's cache of responses",
            &totals.cache_hits,
        ),
        (
            "pailou_response_cache_misses",
            "Requests that a route's cache of responses could have answered and did not",
            &totals.cache_misses,
        ),
        (
            "pailou_flow_blocked",
            "Requests that a flow rule of Sentinel's did not let through",
            &totals.flow_blocked,
        ),
        (
            "pailou_flow_rule_refusals",
            "Published flow rules that could not be read",
            &totals.flow_rule_refusals,
        ),
        (
            "pailou_table_publishes",
            "Route tables published",
            &totals.table_publishes,
        ),
        (
            "pailou_document_refusals",
            "Route documents refused",
            &totals.document_refusals,
        ),
        (
            "pailou_source_failures",
            "Failures of route sources",
            &totals.source_failures,
        ),
        (
            "pailou_session_connects",
            "Sessions set up with Nacos",
            &totals.session_connects,
        ),
        (
            "pailou_session_losses",
            "Sessions with Nacos lost",
            &totals.session_losses,
        ),
        (
            "pailou_session_transport_changes",
            "Sessions that speak to Nacos in another way than the one before",
            &totals.transport_changes,
        ),
        (
            "pailou_login_failures",
            "Logins at Nacos refused or failed",
            &totals.login_failures,
        ),
        (
            "pailou_registration_failures",
            "Failed registrations of the gateway itself",
            &totals.registration_failures,
        ),
        (
            "pailou_tasks_ended",
            "Tasks that ended unexpectedly",
            &totals.tasks_ended,
        ),
        (
            "pailou_snapshot_writes",
            "Snapshots written to disk",
            &totals.snapshot_writes,
        ),
        (
            "pailou_snapshot_write_failures",
            "Snapshots that could not be written",
            &totals.snapshot_write_failures,
        ),
        (
            "pailou_snapshots_ignored",
            "Snapshots found at start that could not be used",
            &totals.snapshots_ignored,
        ),
        (
            "pailou_gates_opened",
            "Requests that went on unchecked, since a filter that asks a service got no answer and fails open",
            &totals.gates_opened,
        ),
        (
            "pailou_certificate_reloads",
            "Files of certificates that changed and are in use",
            &totals.certificate_reloads,
        ),
        (
            "pailou_certificate_refusals",
            "Files of certificates that changed and cannot be used",
            &totals.certificate_refusals,
        ),
        (
            "pailou_access_log_dropped",
            "Access-log lines dropped, the queue being full",
            &totals.access_log_dropped,
        ),
        (
            "pailou_log_dropped",
            "Log lines dropped: the queue was full, or other crates said too much",
            &totals.log_dropped,
        ),
    ];
    for (name, help, value) in counters {
        let mut metric = out.encode_descriptor(name, help, None, MetricType::Counter)?;
        count(&mut metric, value.load(Ordering::Relaxed))?;
    }
    let gauges: [(&str, &str, u64); 11] = [
        (
            "pailou_table_revision",
            "Revision of the route table in use",
            totals.table_revision.load(Ordering::Relaxed),
        ),
        (
            "pailou_table_routes",
            "Routes in the table in use",
            totals.table_routes.load(Ordering::Relaxed),
        ),
        (
            "pailou_table_duplicate_routes",
            "Routes left out of the table in use, another document having their id",
            totals.table_duplicates.load(Ordering::Relaxed),
        ),
        (
            "pailou_table_shadowed_routes",
            "Routes in the table in use that no request reaches, one before them taking all",
            totals.table_shadowed.load(Ordering::Relaxed),
        ),
        (
            "pailou_flow_rules",
            "Flow rules of Sentinel's in force",
            totals.flow_rules.load(Ordering::Relaxed),
        ),
        (
            "pailou_snapshot_bytes",
            "Size of the snapshot last written",
            totals.snapshot_bytes.load(Ordering::Relaxed),
        ),
        (
            "pailou_ready",
            "1 when the gateway is ready for traffic",
            totals.ready.load(Ordering::Relaxed),
        ),
        (
            "pailou_sessions",
            "Sessions with Nacos that are connected",
            state.sessions_connected(),
        ),
        (
            "pailou_requests_in_flight",
            "Requests in flight",
            totals.requests_in_flight.load(Ordering::Relaxed),
        ),
        (
            "pailou_requests_waiting",
            "Requests that wait for their answers, where overload.requests bounds that",
            totals.requests_waiting.load(Ordering::Relaxed),
        ),
        (
            "pailou_connections_open",
            "Client connections open",
            totals.connections_open.load(Ordering::Relaxed),
        ),
    ];
    for (name, help, value) in gauges {
        gauge(out, name, help, value)?;
    }
    reloads(out, state)?;
    let publish_seconds = totals.table_publish_nanoseconds.load(Ordering::Relaxed) as f64 / 1e9;
    let help = "How long the newest table took from its document to traffic";
    out.encode_descriptor(
        "pailou_table_publish_seconds",
        help,
        None,
        MetricType::Gauge,
    )?
    .encode_gauge(&publish_seconds)?;
    let mut metric = out.encode_descriptor(
        "pailou_documents",
        "Route documents by what became of their newest version",
        None,
        MetricType::Gauge,
    )?;
    for (word, wanted) in [
        ("applied", DocumentState::Applied),
        ("partial", DocumentState::Partial),
        ("refused", DocumentState::Refused),
        ("missing", DocumentState::Missing),
        ("stale", DocumentState::Stale),
    ] {
        let labels = [("state", word)];
        metric
            .encode_family(&labels)?
            .encode_gauge(&state.documents_that_are(wanted))?;
    }
    let help = "Client connections accepted";
    let mut metric =
        out.encode_descriptor("pailou_connections", help, None, MetricType::Counter)?;
    count(&mut metric, totals.connections.load(Ordering::Relaxed))?;
    let help = "Client connections turned away or cut, by reason";
    let mut metric = out.encode_descriptor(
        "pailou_connections_refused",
        help,
        None,
        MetricType::Counter,
    )?;
    for (reason, value) in state.connections_refused.counts() {
        if value > 0 || reason != OTHER {
            count_with(&mut metric, &[("reason", reason)], value)?;
        }
    }
    let help = "Tries that came to nothing, by reason";
    let mut metric =
        out.encode_descriptor("pailou_failed_tries", help, None, MetricType::Counter)?;
    for (reason, value) in state.failed_tries.counts() {
        if value > 0 || reason != OTHER {
            count_with(&mut metric, &[("reason", reason)], value)?;
        }
    }
    let help = "Tries beside one that took its time, by outcome";
    let mut metric =
        out.encode_descriptor("pailou_hedged_tries", help, None, MetricType::Counter)?;
    for (outcome, value) in state.hedges.counts() {
        if value > 0 || outcome != OTHER {
            count_with(&mut metric, &[("outcome", outcome)], value)?;
        }
    }
    let help = "Times that keys or credentials of filters were read, by outcome";
    let mut metric =
        out.encode_descriptor("pailou_credential_loads", help, None, MetricType::Counter)?;
    for (outcome, value) in state.credential_loads.counts() {
        if value > 0 || outcome != OTHER {
            count_with(&mut metric, &[("outcome", outcome)], value)?;
        }
    }
    let help = "Places that filters have keys or credentials from, by state";
    let mut metric =
        out.encode_descriptor("pailou_credential_sources", help, None, MetricType::Gauge)?;
    for (state, value) in CredentialState::ALL.iter().zip(&totals.credential_sources) {
        metric
            .encode_family(&[("state", state.word())])?
            .encode_gauge(&value.load(Ordering::Relaxed))?;
    }
    let help = "Requests not let in since there were more than can be served well, by priority";
    let mut metric =
        out.encode_descriptor("pailou_requests_shed", help, None, MetricType::Counter)?;
    for (priority, value) in state.requests_shed.counts() {
        if value > 0 || priority != OTHER {
            count_with(&mut metric, &[("priority", priority)], value)?;
        }
    }
    let help = "The version that runs";
    let build = [("version", env!("CARGO_PKG_VERSION"))];
    out.encode_descriptor("pailou_build", help, None, MetricType::Info)?
        .encode_info(&build)
}

/// Time and success of what was taken anew last.
fn reloads(out: &mut DescriptorEncoder<'_>, state: &State) -> fmt::Result {
    let (routes, settings) = (
        &state.totals.routes_reloaded,
        &state.totals.settings_reloaded,
    );
    let successes = [
        (
            "pailou_routes_last_reload_successful",
            "1 while the newest version of every route document is in use, 0 while one is refused, in part or whole, or missing",
            u64::from(state.routes_are_newest()),
        ),
        (
            "pailou_settings_last_reload_successful",
            "1 if the settings were taken when they were read last",
            settings.went_well(),
        ),
    ];
    for (name, help, value) in successes {
        gauge(out, name, help, value)?;
    }
    let times = [
        (
            "pailou_routes_last_reload_success_timestamp_seconds",
            "When a route table went live last, in seconds since 1970; 0 before the first",
            routes.at_seconds(),
        ),
        (
            "pailou_settings_last_reload_success_timestamp_seconds",
            "When the settings were taken last, in seconds since 1970",
            settings.at_seconds(),
        ),
    ];
    for (name, help, value) in times {
        out.encode_descriptor(name, help, None, MetricType::Gauge)?
            .encode_gauge(&value)?;
    }
    Ok(())
}
