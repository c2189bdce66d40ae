//! `pailou run`: settings, logs, then the gateway until a signal ends it.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use pailou_config::{
    AccessLogFields, Environment, Fault, LogFormat, LogSettings, RouteSource, Settings, Severity,
    load_settings,
};
use pailou_proxy::Certificates;
use pailou_telemetry::{AccessFields, Format, LogGuard, LogOptions, Metrics, init_logs};

use crate::cli::RunArgs;
use crate::reload::Reloader;
use crate::{access_log, gateway, judge, own_files, reload, say, settings_file};

/// Runs the gateway, or prints its effective settings.
pub(crate) fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let file = settings_file::find(args.config.as_deref());
    let loaded = match load_settings(file.as_deref(), &Environment::of_process()) {
        Ok(loaded) => loaded,
        Err(faults) => {
            print_faults(&faults);
            anyhow::bail!("{}", not_started(&faults));
        }
    };
    refuse(&judge::settings(&loaded))?;
    if args.print_config {
        print_faults(&loaded.warnings);
        say::out(&loaded.render())?;
        return Ok(ExitCode::SUCCESS);
    }
    refuse(&own_files::faults(&loaded, file.as_deref()))?;
    let metrics = Metrics::new();
    let listeners = &loaded.settings.listeners;
    let certificates = Certificates::load(listeners, loaded.document(), &metrics);
    let (certificates, doubts) = certificates.map_err(|faults| {
        print_faults(&faults);
        anyhow::anyhow!("{}", not_started(&faults))
    })?;
    let logs = start_logs(&loaded.settings.log, &metrics)?;
    metrics.settings_taken(SystemTime::now());
    announce(&loaded.settings, file.as_deref());
    for warning in loaded.warnings.iter().chain(&doubts) {
        tracing::warn!(fault = %warning, "a setting is doubtful");
    }
    let loaded = Arc::new(loaded);
    let reloader = Arc::new(Reloader {
        file,
        started: Arc::clone(&loaded),
        taken: Arc::clone(&loaded).into(),
        logs: logs.control(),
        metrics: metrics.clone(),
        certificates: certificates.clone(),
    });
    let access_log = logs.access_log();
    gateway::run(
        &loaded.settings,
        certificates,
        metrics,
        access_log,
        reloader,
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Says in one line what is started, and with what.
fn announce(settings: &Settings, file: Option<&Path>) {
    let listeners = settings.listeners.iter();
    let listeners = listed(listeners.map(|listener| listener.address));
    let nacos = &settings.nacos;
    let documents = settings.routes.iter().map(|source| match source {
        RouteSource::File { path, .. } => format!("file:{}", path.display()),
        RouteSource::Config { data_id, group, .. } => format!("{group}/{data_id}"),
    });
    tracing::info!(
        target: "pailou",
        version = env!("PAILOU_VERSION"),
        settings = file.map_or_else(|| "the environment and defaults".into(), Path::to_string_lossy).as_ref(),
        listeners,
        nacos = listed(&nacos.servers),
        namespace = nacos.namespace,
        documents = listed(documents),
        "pailou starts"
    );
}

fn listed(items: impl IntoIterator<Item = impl ToString>) -> String {
    let items = items.into_iter().map(|item| item.to_string());
    items.collect::<Vec<_>>().join(", ")
}

/// Prints the faults, and says that nothing is started; if there are any.
fn refuse(faults: &[Fault]) -> anyhow::Result<()> {
    if faults.is_empty() {
        return Ok(());
    }
    print_faults(faults);
    anyhow::bail!("{}", not_started(faults));
}

/// Sets up logging as the settings say.
pub(crate) fn start_logs(settings: &LogSettings, metrics: &Metrics) -> anyhow::Result<LogGuard> {
    let options = LogOptions {
        level: settings.level.as_str(),
        format: match settings.format {
            LogFormat::Auto => Format::Auto,
            LogFormat::Text => Format::Text,
            LogFormat::Json => Format::Json,
        },
        access: settings.access,
        access_format: access_log::format(settings)?,
        access_fields: match settings.access_fields {
            AccessLogFields::Otel => AccessFields::Otel,
            AccessLogFields::Ecs => AccessFields::Ecs,
        },
        files: reload::log_files(settings),
    };
    Ok(init_logs(&options, metrics)?)
}

fn print_faults(faults: &[Fault]) {
    for line in judge::bounded(faults) {
        say::err(&line);
    }
}

fn not_started(faults: &[Fault]) -> String {
    // Warnings come along with the faults, and do not keep it from starting.
    let errors = faults
        .iter()
        .filter(|fault| fault.severity == Severity::Error)
        .count();
    format!("not started: {} in the settings", plural(errors, "fault"))
}

/// `1 fault`, `2 faults`.
pub(crate) fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
