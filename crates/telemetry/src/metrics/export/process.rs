//! The series of the process.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::gauge;
use crate::metrics::process::Process;

pub(super) fn export(out: &mut DescriptorEncoder<'_>, process: &Process) -> fmt::Result {
    if let Some(seconds) = process.cpu_seconds {
        let help = "CPU time used, user and system";
        out.encode_descriptor("process_cpu_seconds", help, None, MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, f64>(&seconds, None)?;
    }
    if let Some(seconds) = process.start_time_seconds {
        let help = "When the process started, in seconds since 1970";
        out.encode_descriptor("process_start_time_seconds", help, None, MetricType::Gauge)?
            .encode_gauge(&seconds)?;
    }
    let gauges = [
        (
            "process_resident_memory_bytes",
            "Resident memory",
            process.resident_memory_bytes,
        ),
        (
            "process_virtual_memory_bytes",
            "Virtual memory",
            process.virtual_memory_bytes,
        ),
        (
            "process_open_fds",
            "Open file descriptors",
            process.open_fds,
        ),
        (
            "process_max_fds",
            "Most file descriptors that may be open",
            process.max_fds,
        ),
        ("process_threads", "Threads", process.threads),
    ];
    for (name, help, value) in gauges {
        if let Some(value) = value {
            gauge(out, name, help, value)?;
        }
    }
    Ok(())
}
