//! The two text formats that scrapers read: OpenMetrics, and Prometheus's own, which came before it.

/// A text format of [`Metrics::render_as`](crate::Metrics::render_as).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TextFormat {
    /// Prometheus's text format 0.0.4, which every scraper reads.
    #[default]
    Prometheus,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl TextFormat {
    /// The format that an `Accept` header asks for (RFC 9110 section 12.5.1); Prometheus's where it asks for neither, or for both
    /// alike.
    pub fn accepted(accept: &str) -> TextFormat {
        let quality = |of: fn(&str) -> bool| {
            let ranges = accept.split(',').filter_map(range);
            let fitting = ranges.filter(|(name, _)| of(name));
            fitting.map(|(_, quality)| quality).fold(0.0, f32::max)
        };
        let open_metrics =
            quality(|name| name.eq_ignore_ascii_case("application/openmetrics-text"));
        let prometheus = quality(|name| {
            ["text/plain", "text/*", "*/*"]
                .iter()
                .any(|known| name.eq_ignore_ascii_case(known))
        });
        if open_metrics > prometheus {
            TextFormat::OpenMetrics
        } else {
            TextFormat::Prometheus
        }
    }

    /// Its content type.
    pub fn content_type(self) -> &'static str {
        match self {
            TextFormat::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            TextFormat::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The name of a media range, and how much it is wanted.
fn range(text: &str) -> Option<(&str, f32)> {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next()?;
    let quality = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        let is_quality = name.trim().eq_ignore_ascii_case("q");
        is_quality.then(|| value.trim().parse().ok()).flatten()
    });
    Some((name, quality.unwrap_or(1.0)))
}

/// The same series in Prometheus's text format: there a counter's name has its ending in the description too, an info is a gauge,
/// and no line says that the text ends.
pub(super) fn prometheus(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut help = "";
    for line in open_metrics.lines() {
        if let Some(described) = line.strip_prefix("# HELP ") {
            help = described;
        } else if let Some(described) = line.strip_prefix("# TYPE ") {
            describe(&mut text, help, described);
        } else if !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// Writes the two lines that stand before a family's samples.
fn describe(text: &mut String, help: &str, described: &str) {
    let (name, kind) = described.split_once(' ').unwrap_or((described, "untyped"));
    let (_, help) = help.split_once(' ').unwrap_or_default();
    let (ending, kind) = match kind {
        "counter" => ("_total", kind),
        "info" => ("_info", "gauge"),
        "unknown" => ("", "untyped"),
        _ => ("", kind),
    };
    for part in ["# HELP ", name, ending, " ", help, "\n"] {
        text.push_str(part);
    }
    for part in ["# TYPE ", name, ending, " ", kind, "\n"] {
        text.push_str(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_the_one_that_is_asked_for() {
        let prometheus_2 = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
                            text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let prometheus_3 = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,\
                            application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, expected) in [
            (prometheus_2, TextFormat::OpenMetrics),
            (prometheus_3, TextFormat::OpenMetrics),
            ("application/openmetrics-text", TextFormat::OpenMetrics),
            (
                "Application/OpenMetrics-Text; Version=1.0.0",
                TextFormat::OpenMetrics,
            ),
            ("", TextFormat::Prometheus),
            ("*/*", TextFormat::Prometheus),
            ("text/plain;version=0.0.4", TextFormat::Prometheus),
            (
                "text/html,application/xml;q=0.9,*/*;q=0.8",
                TextFormat::Prometheus,
            ),
            ("application/openmetrics-text;q=0", TextFormat::Prometheus),
            (
                "application/openmetrics-text;q=0.1,text/plain;q=0.2",
                TextFormat::Prometheus,
            ),
            (
                "application/openmetrics-text, text/plain",
                TextFormat::Prometheus,
            ),
            (";;,=,q=", TextFormat::Prometheus),
        ] {
            assert_eq!(TextFormat::accepted(accept), expected, "{accept}");
        }
    }

    #[test]
    fn a_family_is_described_as_each_format_wants_it() {
        let open_metrics = "# HELP a_things Things.\n# TYPE a_things counter\na_things_total{x=\"# TYPE\"} 1\n\
                            # HELP a_build The build.\n# TYPE a_build info\na_build_info{version=\"1\"} 1\n\
                            # HELP a_size Size.\n# TYPE a_size gauge\na_size 7\n# EOF\n";
        let expected = "# HELP a_things_total Things.\n# TYPE a_things_total counter\na_things_total{x=\"# TYPE\"} 1\n\
                        # HELP a_build_info The build.\n# TYPE a_build_info gauge\na_build_info{version=\"1\"} 1\n\
                        # HELP a_size Size.\n# TYPE a_size gauge\na_size 7\n";
        assert_eq!(prometheus(open_metrics), expected);
    }
}
