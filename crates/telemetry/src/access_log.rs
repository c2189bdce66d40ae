//! One line per request.

mod field;
mod json;
mod template;
mod text;
mod time;

use crate::events::RequestDone;
use crate::lines::Lines;
pub use field::FIELDS;
pub use template::{AccessTemplate, TemplateFault};
pub use time::now_rfc3339;

/// Where access-log lines go: a bounded queue in front of one writer thread, or nowhere. Cheap to clone.
///
/// Writing never blocks: when the queue is full the line is dropped and `pailou_access_log_dropped_total` counts it.
#[derive(Clone, Debug, Default)]
pub struct AccessLog {
    out: Option<(Lines, Layout)>,
}

/// How a line looks.
#[derive(Clone, Debug)]
pub(crate) enum Layout {
    /// For people.
    Text,
    Json(AccessFields),
    Template(AccessTemplate),
}

/// What the lines of the access log look like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AccessFormat {
    /// As the gateway's own events: text for people on a terminal, JSON elsewhere, unless [`Format`](crate::Format) says otherwise.
    #[default]
    Auto,
    /// One JSON object per line.
    Json,
    /// By a template, such as [`AccessTemplate::combined`].
    Template(AccessTemplate),
}

/// By which names a line in JSON calls its fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessFields {
    /// OpenTelemetry's semantic conventions for HTTP; durations in seconds.
    #[default]
    Otel,
    /// The Elastic Common Schema; durations in nanoseconds.
    Ecs,
}

impl AccessLog {
    /// An access log that keeps nothing and costs nothing.
    pub fn off() -> AccessLog {
        AccessLog::default()
    }

    pub(crate) fn new(lines: Lines, layout: Layout) -> AccessLog {
        AccessLog {
            out: Some((lines, layout)),
        }
    }

    /// Whether anybody reads what a request says of itself.
    pub fn is_on(&self) -> bool {
        self.out.is_some()
    }

    pub(crate) fn write(&self, request: &RequestDone<'_>) {
        if let Some((lines, layout)) = &self.out {
            lines.push(layout.line(request).into_bytes());
        }
    }
}

impl Layout {
    fn line(&self, request: &RequestDone<'_>) -> String {
        let mut out = String::with_capacity(1024);
        match self {
            Layout::Text => text::write(&mut out, request),
            Layout::Json(fields) => json::write(&mut out, *fields, request),
            Layout::Template(template) => template.write(&mut out, request),
        }
        out.push('\n');
        out
    }
}

/// Whether a file that begins so is an access log: of this format, or of another that needs no template to be known by.
pub(crate) fn is_ours(format: &AccessFormat, head: &[u8]) -> bool {
    let is_of_template = match format {
        AccessFormat::Template(template) => template.begins(head),
        AccessFormat::Auto | AccessFormat::Json => false,
    };
    is_of_template || begins_with_time(head) || AccessTemplate::combined().begins(head)
}

/// Whether a file that begins so has lines as the gateway writes them unless it is told otherwise.
pub(crate) fn begins_with_time(head: &[u8]) -> bool {
    json::begins(head) || text::begins(head)
}

#[cfg(test)]
mod tests;
