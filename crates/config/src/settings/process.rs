//! The process: how it ends, what it keeps on disk and what it logs.

use std::{path::PathBuf, time::Duration};

use super::{
    kind::{Choice, Flag, Parsed, Time},
    schema::section,
    values::PathOrOff,
};

section! {
    /// The snapshot: the last good routes and endpoints, on disk, so that the gateway can start while Nacos is down. It counts
    /// only where Nacos does not answer, and only for the servers and data ids that it was taken from.
    SnapshotSettings in "snapshot" {
        /// The file, or `off`. Its folder must exist and be writable, and nothing but a snapshot may be there. Otherwise the
        /// gateway does not start. A gateway that cannot write it later goes on serving and warns. The file holds route documents
        /// and instances as they are in Nacos, and nothing of these settings: no account, no password. Each gateway needs its own
        /// file. A second gateway with the same file reads it, warns, and does not write it while the first one runs.
        path: Option<PathBuf> = Some(PathBuf::from("pailou-snapshot")), PathOrOff;
    }
}

section! {
    /// The steps after SIGTERM and SIGINT: not ready, deregister, wait, stop accepting, finish the requests in flight, exit.
    ShutdownSettings in "shutdown" {
        /// How long listeners stay open after the signal, for load balancers and clients that have not noticed yet.
        drain_delay: Duration = Duration::from_secs(5), Time(Duration::ZERO..=secs(300));
        /// When requests still in flight are cut, counted from the signal. Kubernetes kills after 30s unless
        /// `terminationGracePeriodSeconds` says otherwise; keep this below it.
        deadline: Duration = Duration::from_secs(30), Time(secs(1)..=secs(3_600));
    }
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// A person must act.
    Error,
    /// And: degraded, the gateway copes.
    Warn,
    /// And: life cycle and each published table.
    Info,
    /// And: decisions.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The level's name in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }
}

/// What log lines look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Text,
    /// For machines: one object a line.
    Json,
}

/// What the lines of the access log look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// As `log.format` says.
    Auto,
    /// One JSON object a line.
    Json,
    /// The combined format of Apache and nginx.
    Combined,
    /// A text with the names of fields in braces; which there are is known where lines are written.
    Template(String),
}

/// By which names the access log calls its fields, where it is JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLogFields {
    /// OpenTelemetry's semantic conventions for HTTP.
    Otel,
    /// The Elastic Common Schema.
    Ecs,
}

const LEVELS: &[(&str, LogLevel)] = &[
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];

const FORMATS: &[(&str, LogFormat)] = &[
    ("auto", LogFormat::Auto),
    ("text", LogFormat::Text),
    ("json", LogFormat::Json),
];

const ACCESS_FIELDS: &[(&str, AccessLogFields)] = &[
    ("otel", AccessLogFields::Otel),
    ("ecs", AccessLogFields::Ecs),
];

const ACCESS_FORMAT: Parsed<AccessLogFormat> = Parsed {
    what: "`auto`, `json`, `combined`, or a template in quotes, such as \"{client} {method} {path} {status}\"",
    parse: |text| match text {
        "auto" => Ok(AccessLogFormat::Auto),
        "json" => Ok(AccessLogFormat::Json),
        "combined" => Ok(AccessLogFormat::Combined),
        template if template.contains('{') => Ok(AccessLogFormat::Template(template.to_owned())),
        _ => Err(format!("`{}`", text.escape_debug())),
    },
    show: |format| match format {
        AccessLogFormat::Auto => "auto".to_owned(),
        AccessLogFormat::Json => "json".to_owned(),
        AccessLogFormat::Combined => "combined".to_owned(),
        AccessLogFormat::Template(template) => template.clone(),
    },
};

section! {
    /// Logs: the gateway's own events go to standard error, and the access log to standard output, or each to a file. Neither has
    /// secrets, at any level.
    LogSettings in "log" {
        /// How much is logged. SIGHUP takes a change of this setting.
        level: LogLevel = LogLevel::Info, Choice(LEVELS), also "LOG_LEVEL";
        /// What the lines look like; `auto`: text on a terminal, JSON elsewhere.
        format: LogFormat = LogFormat::Auto, Choice(FORMATS);
        /// The file for the gateway's own events, or `off` for standard error. A rotated file is opened anew within a second, and
        /// at once on SIGUSR1. SIGHUP takes a change of this setting. Nothing but a log may be there.
        file: Option<PathBuf> = None, PathOrOff;
        /// The same for the access log, or `off` for standard output.
        access_file: Option<PathBuf> = None, PathOrOff;
        /// Whether each request has a line. Writing it never holds up a request: lines that cannot be written in time are dropped
        /// and counted.
        access: bool = true, Flag;
        /// What these lines look like: `auto` as `log.format` says, `json`, `combined` (the format of Apache and nginx), or a
        /// template of your own with [fields in braces](observability.md#access-log).
        access_format: AccessLogFormat = AccessLogFormat::Auto, ACCESS_FORMAT;
        /// The names of the fields where these lines are JSON: those of OpenTelemetry's semantic conventions for HTTP, or of the
        /// Elastic Common Schema.
        access_fields: AccessLogFields = AccessLogFields::Otel, Choice(ACCESS_FIELDS);
    }
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
