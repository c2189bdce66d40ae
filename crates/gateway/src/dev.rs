//! `pailou dev`: registry, sample services, a live route table and the gateway, in one process.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use anyhow::Context as _;
use pailou_config::{Environment, LogFormat, LogLevel, Settings, load_settings};
use pailou_nacos::{Client, Publish};
use pailou_nacos_lite::{Options, Registry};
use pailou_telemetry::{AccessLog, Metrics};

use crate::cli::DevArgs;
use crate::gateway::{Gateway, Runtimes};
use crate::run::start_logs;
use crate::samples::{self, Sample};
use crate::{nacos, signals};

/// The data id of the route document.
const ROUTES: &str = "pailou-routes.yaml";

/// The table that the tour starts with.
const DOCUMENT: &str = "\
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
    let _logs = start_logs(&settings.log, &metrics)?;
    let runtimes = Runtimes::new(&settings)?;
    let result = runtimes.control.block_on(async {
        let registry = Registry::start(Options {
            http: loopback(args.registry_port),
            ..Options::default()
        })
        .await?;
        let client = Client::connect(nacos::options(&settings)?);
        publish(&client)
            .await
            .context("the route document could not be published to the registry")?;
        let samples = if args.no_samples {
            Vec::new()
        } else {
            samples::start(registry.http_addr()).await?
        };
        let gateway =
            Gateway::start(settings, metrics, AccessLog::off(), runtimes.data.handle()).await?;
        introduce(args, &samples);
        gateway.run(signals::stop()).await
    });
    runtimes.end();
    result.map(|()| ExitCode::SUCCESS)
}

/// The defaults, with the ports of the command line, and nothing of the environment: the tour is the same everywhere.
fn settings(args: &DevArgs) -> anyhow::Result<Settings> {
    let port = |port: u16| loopback(port).to_string();
    let grpc = args
        .registry_port
        .checked_add(1000)
        .context("--registry-port leaves no room for the gRPC port above it")?;
    let environment = Environment::from_iter([
        ("PAILOU_LISTENERS", port(args.port)),
        ("PAILOU_ADMIN_ADDRESS", port(args.admin_port)),
        ("PAILOU_PROBES_ADDRESS", port(args.probes_port)),
        ("PAILOU_NACOS_SERVERS", port(args.registry_port)),
        ("PAILOU_NACOS_GRPC_PORT", grpc.to_string()),
        ("PAILOU_SHUTDOWN_DRAIN_DELAY", "0s".to_owned()),
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
    settings.log.level = LogLevel::Warn;
    settings.log.format = LogFormat::Text;
    Ok(settings)
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

async fn publish(client: &Client) -> Result<(), pailou_nacos::Error> {
    let mut states = client.states();
    // The registry runs in this process: the connection is a matter of milliseconds.
    let _ = tokio::time::timeout(
        std::time::Duration::from_secs(5),
        states.wait_for(|state| state.connected),
    )
    .await;
    let how = Publish {
        kind: Some("yaml".to_owned()),
        ..Publish::default()
    };
    client.publish_config(ROUTES, DOCUMENT, how).await
}

/// Says what runs and what to try, as commands that work when they are pasted.
fn introduce(args: &DevArgs, samples: &[Sample]) {
    let (gateway, admin, registry) = (args.port, args.admin_port, args.registry_port);
    println!("Pailou {} is running.\n", env!("CARGO_PKG_VERSION"));
    println!("  gateway   http://127.0.0.1:{gateway}");
    println!("  admin     http://127.0.0.1:{admin}");
    println!("  probes    http://127.0.0.1:{}", args.probes_port);
    println!(
        "  registry  http://127.0.0.1:{registry}/nacos (embedded, keeps nothing), gRPC on {}",
        registry + 1000
    );
    for sample in samples {
        println!(
            "  sample    {} {} on {}, weight {}",
            sample.service, sample.name, sample.address, sample.weight
        );
    }
    let document = DOCUMENT.replace('\n', "\\n");
    println!(
        "
Try, in another terminal:

# a request: /api/users/** goes to user-service, one segment stripped
curl -s http://127.0.0.1:{gateway}/api/users/1

# twelve requests: the three instances share them 1 : 2 : 3
for i in $(seq 12); do curl -s http://127.0.0.1:{gateway}/api/users/1; echo; done | sort | uniq -c

# publish a changed table, and see it live
printf '{document}  /people/**: user-service\\n' | curl -s -X POST http://127.0.0.1:{registry}/nacos/v1/cs/configs --data-urlencode dataId={ROUTES} --data-urlencode group=DEFAULT_GROUP --data-urlencode content@-; echo
curl -s http://127.0.0.1:{gateway}/people/7
"
    );
    if let Some(sample) = samples
        .iter()
        .rev()
        .find(|sample| sample.service == "user-service")
    {
        println!(
            "# take {name} out as an operator would, and put it back with enabled=true
curl -s -X PUT 'http://127.0.0.1:{registry}/nacos/v1/ns/instance?serviceName=user-service&ip={ip}&port={port}&enabled=false'; echo
",
            name = sample.name,
            ip = sample.address.ip(),
            port = sample.address.port(),
        );
    }
    println!(
        "# what the gateway knows: a service and why each instance is in or out, the table, the metrics
curl -s http://127.0.0.1:{admin}/api/v1/services/user-service
curl -s http://127.0.0.1:{admin}/api/v1/status
curl -s http://127.0.0.1:{admin}/metrics | grep gateway_requests

Ctrl-C ends everything."
    );
}
