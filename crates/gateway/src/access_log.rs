//! What the settings say of the access log, as the crate that writes it knows it.

use pailou_config::{AccessLogFormat, Fault, LoadedSettings, LogSettings, nearest};
use pailou_telemetry::{ACCESS_FIELDS, AccessFormat, AccessTemplate, TemplateFault};

/// What lines look like.
///
/// # Errors
/// What is wrong with a template.
pub(crate) fn format(settings: &LogSettings) -> Result<AccessFormat, TemplateFault> {
    Ok(match &settings.access_format {
        AccessLogFormat::Auto => AccessFormat::Auto,
        AccessLogFormat::Json => AccessFormat::Json,
        AccessLogFormat::Combined => AccessFormat::Template(AccessTemplate::combined().clone()),
        AccessLogFormat::Template(text) => AccessFormat::Template(AccessTemplate::parse(text)?),
    })
}

/// What is wrong with the template, if anything.
pub(crate) fn fault(loaded: &LoadedSettings) -> Option<Fault> {
    let wrong = format(&loaded.settings.log).err()?;
    let expected = match wrong {
        TemplateFault::UnknownField(_) => format!("one of {}", ACCESS_FIELDS.join(", ")),
        _ => "one line of text with fields in braces, such as {method}; {{ and }} are braces"
            .to_owned(),
    };
    let nearest = match &wrong {
        TemplateFault::UnknownField(name) => nearest(name, ACCESS_FIELDS),
        _ => None,
    };
    Some(Fault {
        nearest: nearest.map(str::to_owned),
        ..loaded.fault("log.access_format", wrong.to_string(), &expected)
    })
}
