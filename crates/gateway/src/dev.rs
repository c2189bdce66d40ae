//! `pailou dev`: registry, sample services, a live route table and the gateway, in one process.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context as _;
use pailou_config::{Environment, LogFormat, LogLevel, Settings, load_settings};
use pailou_nacos_lite::{Options, Registry};
use pailou_proxy::Certificates;
use pailou_telemetry::{AccessLog, Metrics};

use crate::cli::DevArgs;
use crate::gateway::{Gateway, Runtimes};
use crate::ports::Ports;
use crate::run::start_logs;
use crate::{samples, say, signals, tour};

/// The data id of the route document.
pub(crate) const ROUTES: &str = "pailou-routes.yaml";

/// The table that the tour starts with.
pub(crate) const DOCUMENT: &str = "\
routes:
  /api/users/**:
    service: user-service
    strip_prefix: 1
  /api/orders/**:
    service: order-service
    strip_prefix: 1
";

/// Runs everything until SIGTERM or SIGINT.
pub(crate) fn run(args: &DevArgs) -> anyhow::Result<ExitCode> {
    let settings = settings(args)?;
    let metrics = Metrics::new();
    metrics.settings_taken(SystemTime::now());
    let _logs = start_logs(&settings.log, &metrics)?;
    let runtimes = Runtimes::new(&settings)?;
    let served = runtimes.control.block_on(async {
        let certificates = Certificates::none(&metrics);
        let data = runtimes.data.handle();
        let ports = Ports::take(&settings, &certificates, data)
            .await
            .context("the gateway: choose other ports with --port, --admin-port and --probes-port, or `make run DEV='--port 8081'`")?;
        let registry = Registry::start(Options {
            http: loopback(args.registry_port),
            ..Options::default()
        })
        .await
        .context("the embedded registry: choose another port with --registry-port, or `make run DEV='--registry-port 8858'`")?;
        // Services and document are there when the gateway looks for them: it has nothing to warn of, and the first request is
        // answered.
        let samples = if args.no_samples {
            Vec::new()
        } else {
            samples::start(registry.http_addr()).await?
        };
        registry.publish_config(ROUTES, DOCUMENT);
        let off = AccessLog::off();
        let gateway = Gateway::start(ports, settings, certificates, metrics, off, data).await?;
        let stop = signals::stop_or_hangup();
        say::out(&tour::text(args, &samples))?;
        gateway.run(stop).await
    });
    runtimes.end();
    served.map(|()| ExitCode::SUCCESS)
}

/// The defaults, with the ports of the command line, and nothing of the environment: the tour is the same everywhere.
fn settings(args: &DevArgs) -> anyhow::Result<Settings> {
    let port = |port: u16| loopback(port).to_string();
    let grpc = args.registry_port + 1000;
    let environment = Environment::from_iter([
        ("PAILOU_LISTENERS", port(args.port)),
        ("PAILOU_ADMIN_ADDRESS", port(args.admin_port)),
        ("PAILOU_PROBES_ADDRESS", port(args.probes_port)),
        ("PAILOU_NACOS_SERVERS", port(args.registry_port)),
        ("PAILOU_NACOS_GRPC_PORT", grpc.to_string()),
        ("PAILOU_SHUTDOWN_DRAIN_DELAY", "0s".to_owned()),
        // The registry starts empty each time, and so does the tour.
        ("PAILOU_SNAPSHOT_PATH", "off".to_owned()),
    ]);
    let mut settings = load_settings(None, &environment)
        .map_err(|faults| {
            anyhow::anyhow!(
                "{}",
                faults
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join("\n")
            )
        })?
        .settings;
    // Enough for a person, and less than any file limit allows: no warning for whom it does not concern.
    settings.limits.connections = 1000;
    settings.log.level = LogLevel::Warn;
    settings.log.format = LogFormat::Text;
    Ok(settings)
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
