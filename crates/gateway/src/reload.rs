//! What a running gateway reads again: on SIGHUP the certificates and the settings that can change while it runs, on
//! SIGUSR1 its log files.
//!
//! Routes need no signal, since the gateway follows their documents.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use pailou_config::{Environment, LoadedSettings, LogSettings, load_settings};
use pailou_proxy::Certificates;
use pailou_telemetry::events::{SettingsRefused, SettingsReloaded};
use pailou_telemetry::{LogControl, LogFiles, Metrics};

use crate::signals::{Order, Orders};
use crate::{judge, own_files};

/// The settings that are taken while the gateway runs. All others need a restart.
const LIVE: [&str; 3] = ["log.level", "log.file", "log.access_file"];

/// What is needed to take settings anew.
pub(crate) struct Reloader {
    /// Where the settings were read from.
    pub(crate) file: Option<PathBuf>,
    /// The settings that the gateway was started with.
    pub(crate) started: Arc<LoadedSettings>,
    /// Those that were taken last, of which the ones in [`LIVE`] are in force.
    pub(crate) taken: Mutex<Arc<LoadedSettings>>,
    pub(crate) logs: LogControl,
    pub(crate) metrics: Metrics,
    pub(crate) certificates: Certificates,
}

impl Reloader {
    /// Does what signals ask for, until the future is dropped.
    pub(crate) async fn run(
        self: Arc<Self>,
        orders: Arc<tokio::sync::Mutex<Orders>>,
    ) -> Infallible {
        // Nobody else waits for orders.
        let mut orders = orders.lock().await;
        loop {
            match orders.next().await {
                Order::Reload => self.reload(),
                Order::Reopen => self.reopen(),
            }
        }
    }

    /// Reads the settings, and takes all of what can be taken or nothing.
    fn reload(&self) {
        let file = self.file.as_deref();
        let read = load_settings(file, &Environment::of_process()).and_then(|loaded| {
            let mut faults = judge::settings(&loaded);
            faults.extend(own_files::faults(&loaded, file));
            if faults.is_empty() {
                Ok(loaded)
            } else {
                Err(faults)
            }
        });
        let taken = match read {
            Err(faults) => Err(judge::bounded(&faults)),
            Ok(loaded) => self
                .take(&loaded)
                .map(|()| loaded)
                .map_err(|error| vec![error]),
        };
        match taken {
            Ok(loaded) => self.report(loaded),
            Err(errors) => SettingsRefused { errors: &errors }.record(&self.metrics),
        }
    }

    /// Takes what is live. Whoever makes another setting live adds its line here and its name to [`LIVE`].
    fn take(&self, loaded: &LoadedSettings) -> Result<(), String> {
        // They are few and small; what is wrong with one is told by itself.
        self.certificates.reload();
        let log = &loaded.settings.log;
        let files = self.logs.write_to(log_files(log));
        files.map_err(|error| error.to_string())?;
        let level = self.logs.set_level(log.level.as_str());
        level.map_err(|error| error.to_string())
    }

    /// Says what has changed: what is in force, and what needs a restart.
    fn report(&self, loaded: LoadedSettings) {
        let is_live = |setting: &String| LIVE.contains(&setting.as_str());
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let mut live = taken.changes(&loaded);
        live.retain(is_live);
        // Against the start, so that a change is named at each signal until the restart.
        let mut fixed = self.started.changes(&loaded);
        fixed.retain(|setting| !is_live(setting));
        SettingsReloaded {
            changed: &live.join(", "),
            need_restart: &fixed.join(", "),
        }
        .record(&self.metrics);
        *taken = Arc::new(loaded);
    }

    fn reopen(&self) {
        let taken = Arc::clone(&self.taken.lock().unwrap_or_else(PoisonError::into_inner));
        match self.logs.write_to(log_files(&taken.settings.log)) {
            Ok(()) => tracing::info!(target: "pailou", "the log files were opened again"),
            Err(error) => {
                tracing::error!(target: "pailou", %error, "the log files cannot be opened again, lines go on to the old ones");
            }
        }
    }
}

/// Where the settings let lines go.
pub(crate) fn log_files(log: &LogSettings) -> LogFiles<'_> {
    LogFiles {
        log: log.file.as_deref(),
        access: log.access_file.as_deref(),
    }
}
