//! Log set-up: what is said, how it looks, and who writes it.

mod control;
mod file;
mod foreign;

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tracing_subscriber::Layer;
use tracing_subscriber::filter::{FilterExt, LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use crate::access_log::{AccessFields, AccessFormat, AccessLog, Layout};
use crate::escape::clean_line;
use crate::events::{LogFailed, LogRecovered};
use crate::lines::{Lines, QUEUE_LINES, Told};
use crate::metrics::Metrics;
use crate::own_file::NotOurs;
use control::AnyFilter;
pub use control::{LogControl, LogFiles};
pub use file::{look_at_access_log, look_at_log};
use foreign::Foreign;

/// How long the end of the process waits for lines still queued.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);
/// A log line longer than this is cut.
const MAX_LINE_BYTES: usize = 32 * 1024;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Text when lines go to a terminal, JSON otherwise.
    #[default]
    Auto,
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// What to log.
#[derive(Clone, Debug)]
pub struct LogOptions<'a> {
    /// A level (`info`), or a level and exceptions by target (`info,pailou_discovery=debug`), as in the variable `LOG_LEVEL`.
    ///
    /// Targets outside this workspace never say more than INFO, whatever is asked: below it h2, hyper and tonic print frames, and with
    /// them tokens and passwords. Nor more than 50 lines a second: some log an error for every failed request, which the access log has.
    pub level: &'a str,
    /// How lines look.
    pub format: Format,
    /// Whether each request gets a line in the access log.
    pub access: bool,
    /// How those lines look.
    pub access_format: AccessFormat,
    /// By which names they call their fields, where they are JSON.
    pub access_fields: AccessFields,
    /// Where the lines go.
    pub files: LogFiles<'a>,
}

/// How lines look once it is known where they go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Text,
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is not understood.
    #[error(
        "log level `{given}`: {reason}; expected off, error, warn, info, debug, trace, or a level and `target=level` exceptions"
    )]
    Level {
        /// The text that was given.
        given: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A log file cannot be opened.
    #[error(transparent)]
    File(#[from] NotOurs),
    /// A writer thread could not be started.
    #[error("the log writer could not be started")]
    Writer(#[source] io::Error),
    /// Logging was set up before, in this process.
    #[error("logging was already set up in this process")]
    AlreadySet,
}

/// Keeps logging alive; when dropped, waits up to a second for the lines that are still queued.
#[derive(Debug)]
#[must_use = "lines that are still queued are lost when the guard is dropped early"]
pub struct LogGuard {
    log: Lines,
    access: Option<Lines>,
    access_log: AccessLog,
    control: LogControl,
}

impl LogGuard {
    /// Changes this set-up while the process runs.
    pub fn control(&self) -> LogControl {
        self.control.clone()
    }

    /// The access log that belongs to this set-up; off when the options say so.
    pub fn access_log(&self) -> AccessLog {
        self.access_log.clone()
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.log.flush(FLUSH_LIMIT);
        if let Some(access) = &self.access {
            access.flush(FLUSH_LIMIT);
        }
    }
}

/// Sets up logging for the whole process: log lines go to standard error, access-log lines to standard output, or each to a
/// file.
///
/// Each has its own bounded queue and writer thread, so that neither a slow terminal nor a stuck pipe ever blocks a worker; lines that
/// are dropped are counted in `metrics`.
///
/// # Errors
/// An unknown level, a file that cannot be opened, a thread that cannot be started, or a second call.
pub fn init_logs(options: &LogOptions<'_>, metrics: &Metrics) -> Result<LogGuard, LogError> {
    let filter = filter(options.level, metrics.log_dropped())?;
    let terminal = options.files.log.is_none() && io::stderr().is_terminal();
    let style = match options.format {
        Format::Text => Style::Text,
        Format::Json => Style::Json,
        Format::Auto if terminal => Style::Text,
        Format::Auto => Style::Json,
    };
    let access_sink = options
        .access
        .then(|| options.files.open_access(&options.access_format));
    let access_sink = access_sink.transpose()?;
    let log = Lines::spawn(
        "pailou-log",
        options.files.open_log()?,
        QUEUE_LINES,
        metrics.log_dropped(),
        Box::new(tell_of_log),
    )
    .map_err(LogError::Writer)?;
    let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let to_lines = ToLines {
        lines: log.clone(),
        colour,
    };
    let (filter, handle) = reload::Layer::new(filter);
    tracing_subscriber::registry()
        .with(layer(style, colour, to_lines).with_filter(filter))
        .try_init()
        .map_err(|_| LogError::AlreadySet)?;
    let access = access_sink.map(|sink| {
        let dropped = metrics.access_log_dropped();
        let tell = Box::new(|told: Told<'_>| record("access", &told));
        Lines::spawn("pailou-access", sink, QUEUE_LINES, dropped, tell)
    });
    let access = access.transpose().map_err(LogError::Writer)?;
    let access_log = access.clone().map_or_else(AccessLog::off, |lines| {
        AccessLog::new(lines, access_layout(options, style))
    });
    let control = LogControl {
        log: log.clone(),
        access: access.clone(),
        access_format: options.access_format.clone(),
        filter: handle,
        foreign_dropped: metrics.log_dropped(),
    };
    Ok(LogGuard {
        log,
        access,
        access_log,
        control,
    })
}

/// Tells of the gateway's own log. While it cannot be written, standard error is the only other place.
fn tell_of_log(told: Told<'_>) {
    if let Told::Failed(error) = &told {
        let _ = writeln!(
            io::stderr(),
            "pailou: the log cannot be written, its lines are lost: {error}"
        );
    }
    record("events", &told);
}

fn record(log: &str, told: &Told<'_>) {
    match told {
        Told::Failed(error) => {
            let error = &error.to_string();
            LogFailed { log, error }.record();
        }
        Told::Recovered(lost) => LogRecovered { log, lost: *lost }.record(),
    }
}

fn access_layout(options: &LogOptions<'_>, style: Style) -> Layout {
    match (&options.access_format, style) {
        (AccessFormat::Auto, Style::Text) => Layout::Text,
        (AccessFormat::Auto, Style::Json) | (AccessFormat::Json, _) => {
            Layout::Json(options.access_fields)
        }
        (AccessFormat::Template(template), _) => Layout::Template(template.clone()),
    }
}

fn layer<S, W>(style: Style, colour: bool, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    match style {
        Style::Text => Box::new(layer.with_ansi(colour)),
        Style::Json => Box::new(layer.json().flatten_event(true).with_ansi(false)),
    }
}

fn filter(level: &str, dropped: Arc<AtomicU64>) -> Result<AnyFilter, LogError> {
    let refused = |reason: String| LogError::Level {
        given: level.to_owned(),
        reason,
    };
    for directive in level.split(',') {
        let (target, level) = directive
            .trim()
            .rsplit_once('=')
            .unwrap_or(("", directive.trim()));
        let level_is_known = level.parse::<LevelFilter>().is_ok() && !level.is_empty();
        if !level_is_known || target.contains(['[', ']', '{', '}']) {
            return Err(refused(format!("`{directive}` is not a level")));
        }
    }
    let targets: Targets = level
        .replace(' ', "")
        .parse()
        .map_err(|error: tracing_subscriber::filter::ParseError| refused(error.to_string()))?;
    Ok(Box::new(targets.and(Foreign::new(dropped))))
}

/// Hands each formatted event to the writer thread.
struct ToLines {
    lines: Lines,
    colour: bool,
}

impl<'a> MakeWriter<'a> for ToLines {
    type Writer = LineSink<'a>;

    fn make_writer(&'a self) -> LineSink<'a> {
        LineSink(self)
    }
}

/// Takes one event, which the formatter hands over in a single write.
struct LineSink<'a>(&'a ToLines);

impl Write for LineSink<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut clean = clean_line(&line[..line.len().min(MAX_LINE_BYTES)], self.0.colour);
        if clean.last() != Some(&b'\n') {
            clean.push(b'\n');
        }
        self.0.lines.push(clean);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: &str, style: Style, colour: bool, act: impl FnOnce()) -> String {
        let kept = Kept::default();
        let metrics = Metrics::new();
        let lines = Lines::spawn(
            "test-log",
            kept.clone(),
            QUEUE_LINES,
            metrics.log_dropped(),
            Box::new(|_| {}),
        )
        .unwrap();
        let subscriber = tracing_subscriber::registry().with(
            layer(
                style,
                colour,
                ToLines {
                    lines: lines.clone(),
                    colour,
                },
            )
            .with_filter(filter(level, metrics.log_dropped()).unwrap()),
        );
        tracing::subscriber::with_default(subscriber, act);
        lines.flush(Duration::from_secs(10));
        let text = kept.0.lock().unwrap().clone();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn foreign_targets_are_capped_whatever_is_asked() {
        for level in [
            "trace",
            "trace,h2=trace",
            "h2=trace,pailou=trace,hyper=debug",
        ] {
            let text = logged(level, Style::Json, false, || {
                tracing::trace!(target: "h2::frame", "secret frame");
                tracing::debug!(target: "hyper", "secret head");
                tracing::debug!(target: "pailou_discovery::session", "a decision");
                tracing::debug!(target: "pailou", "an event");
            });
            assert!(!text.contains("secret"), "{level}: {text}");
            assert!(text.contains("an event"), "{level}: {text}");
        }
        let text = logged("info,pailou_discovery=debug", Style::Json, false, || {
            tracing::debug!(target: "pailou_discovery::session", "wanted");
            tracing::debug!(target: "pailou_proxy", "unwanted");
            tracing::info!(target: "h2", "foreign");
        });
        assert!(text.contains("wanted") && text.contains("foreign") && !text.contains("unwanted"));
    }

    /// An endpoint's refusal is no error of the gateway's: it goes on to another one.
    #[test]
    fn a_refused_connection_is_not_told_of_by_a_library() {
        let text = logged("trace", Style::Json, false, || {
            tracing::error!(target: "pingora_core::connectors::l4", "unwanted");
            tracing::error!(target: "pingora_core::server", "wanted");
        });
        assert!(
            text.contains("wanted") && !text.contains("unwanted"),
            "{text}"
        );
    }

    #[test]
    fn levels_that_are_not_understood_are_refused_by_name() {
        for level in ["loud", "", "info,pailou=loud", "info,", "[span]=debug"] {
            let error = filter(level, Arc::default()).err();
            let text = error.map(|error| error.to_string()).unwrap_or_default();
            assert!(text.contains("expected off, error"), "{level:?}: {text}");
        }
        for level in [
            "off",
            "INFO",
            "warn,pailou=debug",
            "info, pailou_proxy=trace",
        ] {
            assert!(filter(level, Arc::default()).is_ok(), "{level:?}");
        }
    }

    #[test]
    fn what_is_below_the_level_is_refused_before_it_is_made_up() {
        for (level, hint) in [
            ("info", LevelFilter::INFO),
            ("warn,pailou=debug", LevelFilter::DEBUG),
        ] {
            let filter = filter(level, Arc::default()).unwrap();
            assert_eq!(filter.max_level_hint(), Some(hint), "{level}");
        }
    }

    #[test]
    fn an_event_is_one_line_whatever_it_says() {
        for (style, colour) in [
            (Style::Text, false),
            (Style::Text, true),
            (Style::Json, false),
        ] {
            let text = logged("info", style, colour, || {
                let evil = "a\r\nERROR forged\u{1b}[2J\u{7}";
                tracing::info!(target: "pailou", by_display = %evil, by_debug = ?evil, plain = evil, "{evil}");
            });
            assert_eq!(text.matches('\n').count(), 1, "{text:?}");
            assert!(
                !text.contains('\r') && !text.contains("\u{1b}[2J"),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_flood_of_foreign_lines_is_cut_and_ours_are_not() {
        let text = logged("info", Style::Json, false, || {
            for _ in 0..2_000 {
                tracing::error!(target: "h2", "foreign");
                tracing::error!(target: "pailou", "ours");
            }
        });
        assert_eq!(text.matches("ours").count(), 2_000);
        let foreign = text.matches("foreign").count();
        // More than one second may have passed, but not ten.
        assert!((1..500).contains(&foreign), "{foreign}");
    }

    #[test]
    fn a_json_line_has_its_fields_at_the_top() {
        let text = logged("info", Style::Json, false, || {
            tracing::info!(target: "pailou", revision = 3_u64, "a route table was published");
        });
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["revision"], 3);
        assert_eq!(value["message"], "a route table was published");
    }
}
