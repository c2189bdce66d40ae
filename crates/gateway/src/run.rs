//! `pailou run`: settings, logs, then the gateway until a signal ends it.

use std::process::ExitCode;
use std::sync::Arc;

use pailou_config::{Environment, Fault, LogFormat, LogSettings, Severity, load_settings};
use pailou_proxy::Certificates;
use pailou_telemetry::{Format, LogGuard, LogOptions, Metrics, init_logs};

use crate::cli::RunArgs;
use crate::reload::Reloader;
use crate::{gateway, judge, own_files, reload, say};

/// Runs the gateway, or prints its effective settings.
pub(crate) fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let loaded = match load_settings(args.config.as_deref(), &Environment::of_process()) {
        Ok(loaded) => loaded,
        Err(faults) => {
            print_faults(&faults);
            anyhow::bail!("{}", not_started(&faults));
        }
    };
    refuse(&judge::defaults(&loaded))?;
    if args.print_config {
        print_faults(&loaded.warnings);
        say::out(&loaded.render())?;
        return Ok(ExitCode::SUCCESS);
    }
    refuse(&own_files::faults(&loaded, args.config.as_deref()))?;
    let metrics = Metrics::new();
    let listeners = &loaded.settings.listeners;
    let certificates = Certificates::load(listeners, loaded.document(), &metrics);
    let (certificates, doubts) = certificates.map_err(|faults| {
        print_faults(&faults);
        anyhow::anyhow!("{}", not_started(&faults))
    })?;
    let logs = start_logs(&loaded.settings.log, &metrics)?;
    for warning in loaded.warnings.iter().chain(&doubts) {
        tracing::warn!(fault = %warning, "a setting is doubtful");
    }
    let loaded = Arc::new(loaded);
    let reloader = Reloader {
        file: args.config.clone(),
        started: Arc::clone(&loaded),
        taken: Arc::clone(&loaded),
        logs: logs.control(),
        certificates: certificates.clone(),
    };
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
