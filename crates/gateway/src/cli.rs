//! The command line: what a person may type, and the help that teaches it.

mod nacos;

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, value_parser};

pub(crate) use nacos::{
    ConfigCommand, DeregisterArgs, DoctorArgs, NacosArgs, NacosCommand, PublishArgs, RegisterArgs,
    ServiceCommand,
};

/// The Nacos-native edge gateway.
#[derive(Debug, Parser)]
#[command(
    name = "pailou",
    version = env!("PAILOU_VERSION"),
    about = "The Nacos-native edge gateway",
    long_about = "Pailou reads routes from Nacos and resolves prefixes such as /api/users/** to Nacos service names. Nacos pushes the \
                  instances of each service, Pailou balances over them, and every change is live at once.",
    after_help = "Start here:\n  pailou dev                         embedded registry, sample services and gateway on this machine\n  \
                  pailou check gateway.yaml          validate settings and route documents offline\n  \
                  pailou run                         run the gateway, with ./gateway.yaml\n  pailou doctor                      why can't I see my service?\n\nThe comments in gateway.yaml explain every setting.",
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands of the binary.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the gateway.
    #[command(
        after_help = "Environment variables override the file: PAILOU_<SECTION>_<KEY> first (PAILOU_ADMIN_ADDRESS, \
                      PAILOU_NACOS_SERVERS), then NACOS_SERVER_ADDR, NACOS_NAMESPACE, NACOS_GROUP, NACOS_USERNAME, \
                      NACOS_PASSWORD, NACOS_SERVICE_NAME, NACOS_SERVICE_IP, NACOS_SERVICE_PORT, \
                      NACOS_HEARTBEAT_INTERVAL and LOG_LEVEL.\n\nSIGTERM, SIGINT and SIGQUIT end the gateway without losing a request. SIGHUP reads the settings again and \
                      takes the log level and the log files; a warning names other changes, which need a restart. SIGUSR1 opens \
                      the log files again."
    )]
    Run(RunArgs),
    /// Run an embedded registry, sample services and the gateway in one process, to try things out.
    Dev(DevArgs),
    /// Run the embedded Nacos registry alone, for development and tests.
    #[command(
        after_help = "The registry keeps nothing on disk: when it stops, all services and configs are gone. It is not for production."
    )]
    Registry(RegistryArgs),
    /// Validate gateway.yaml and route documents without starting anything.
    #[command(
        after_help = "A file counts as settings when it is empty or has a key that only settings have. Any other file is a route \
                      document. The first lines say which. Route files that the settings name are checked too. In a document of \
                      Spring Cloud Gateway each route is accepted, differs (it runs, but not as there), or is refused.\n\nExit code: \
                      0 no fault (warnings may be printed), 1 at least one fault."
    )]
    Check(CheckArgs),
    /// Say which route a request would take, why other routes do not match, and what the endpoint would get.
    #[command(
        after_help = "  pailou explain GET /api/users/1 --routes routes.yaml\n  pailou explain GET 'https://shop.example.com/api/users/1?v=2' -H 'x-canary: true'\n  pailou explain --requests requests.txt --routes routes.yaml      one line for each request\n\nNothing is sent to a service. Without --routes the answer comes from the running gateway, whose admin listener is --admin or the one of the settings.\n\nExit code: 0 a route takes the request, 1 no route does."
    )]
    Explain(ExplainArgs),
    /// Print the native form of route documents of Spring Cloud Gateway.
    #[command(
        after_help = "  pailou import gateway-routes.yaml > routes.yaml\n\nThe gateway also serves documents in Spring's form unchanged. The printed document serves the same; its comments say where it differs.\n\nExit code: 0 every route was turned, 1 at least one was not; standard error names it."
    )]
    Import(ImportArgs),
    /// Ask a running gateway whether it is ready; exit code 0 if it is.
    #[command(
        after_help = "docker/Dockerfile uses this command for the health check of the container."
    )]
    Health(HealthArgs),
    /// Find out why a service is not seen: servers, login, namespace, route documents, instances.
    #[command(
        after_help = "The doctor looks from this machine, with the gateway's settings, and changes nothing. Each line says what was \
                      checked and what was found. A problem comes with its cure.\n\nExit code: 0 nothing wrong (there \
                      may be warnings), 1 at least one problem."
    )]
    Doctor(DoctorArgs),
    /// Read and change configs and services in Nacos, with the gateway's settings.
    #[command(
        after_help = "  pailou nacos config get pailou-routes.yaml\n  pailou nacos config publish pailou-routes.yaml \
                      routes.yaml\n  pailou nacos service show user-service\n  pailou nacos service watch user-service \
                      --json\n\nExit code: 0 done, 1 not done or nothing found."
    )]
    Nacos(NacosArgs),
}

/// Arguments of `pailou run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The settings file; without it gateway.yaml in this folder, if there is one.
    #[arg(short, long, value_name = "FILE", env = "PAILOU_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Print the effective settings and exit. Each has the place that it came from; secrets are masked.
    #[arg(long)]
    pub(crate) print_config: bool,
}

/// Arguments of `pailou dev`.
#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// The gateway's port.
    #[arg(short, long, default_value_t = 8080, value_name = "PORT", value_parser = value_parser!(u16).range(1..))]
    pub(crate) port: u16,
    /// The admin listener's port.
    #[arg(long, default_value_t = 9901, value_name = "PORT", value_parser = value_parser!(u16).range(1..))]
    pub(crate) admin_port: u16,
    /// The port of the probes and of the metrics.
    #[arg(long, default_value_t = 9902, value_name = "PORT", value_parser = value_parser!(u16).range(1..))]
    pub(crate) probes_port: u16,
    /// The embedded registry's HTTP port; its gRPC port is this one + 1000.
    #[arg(long, default_value_t = 8848, value_name = "PORT", value_parser = value_parser!(u16).range(1..=64535))]
    pub(crate) registry_port: u16,
    /// Start no sample services, but only registry, route table and gateway.
    #[arg(long)]
    pub(crate) no_samples: bool,
}

/// Arguments of `pailou registry`.
#[derive(Debug, Args)]
pub(crate) struct RegistryArgs {
    /// The HTTP port (0 = any free pair).
    #[arg(short, long, default_value_t = 8848, value_name = "PORT")]
    pub(crate) port: u16,
    /// The gRPC port; the HTTP port + 1000 unless given.
    #[arg(long, value_name = "PORT")]
    pub(crate) grpc_port: Option<u16>,
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1", value_name = "IP")]
    pub(crate) address: IpAddr,
    /// Require a login, with user nacos and password nacos.
    #[arg(long)]
    pub(crate) auth: bool,
}

/// Arguments of `pailou check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Settings files and route documents.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Print JSON: `ok`, all `faults`, and a verdict on each route in Spring's form.
    #[arg(long)]
    pub(crate) json: bool,
    /// Treat warnings as faults, such as a route in Spring's form that runs, but not as there.
    #[arg(long)]
    pub(crate) strict: bool,
}

/// Arguments of `pailou explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The request's method.
    #[arg(value_name = "METHOD", required_unless_present = "requests")]
    pub(crate) method: Option<String>,
    /// The request's URL, or only its path and query.
    #[arg(value_name = "URL", required_unless_present = "requests")]
    pub(crate) url: Option<String>,
    /// A file with a request on each line, as `METHOD URL`; `-` is standard input. Prints a line for each: method, URL, route,
    /// service, and what goes to the service.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["method", "json"])]
    pub(crate) requests: Option<PathBuf>,
    /// A header of the request; may be given several times.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub(crate) headers: Vec<String>,
    /// The client's address; 127.0.0.1 unless given.
    #[arg(long, value_name = "IP")]
    pub(crate) client: Option<IpAddr>,
    /// A route document that takes the place of a running gateway; may be given several times.
    #[arg(long, value_name = "FILE", conflicts_with = "admin")]
    pub(crate) routes: Vec<PathBuf>,
    /// The admin listener of the gateway to ask, such as http://127.0.0.1:9901.
    #[arg(long, value_name = "URL")]
    pub(crate) admin: Option<String>,
    /// The gateway's settings; without them gateway.yaml in this folder, if there is one.
    #[arg(short, long, value_name = "FILE", env = "PAILOU_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Print the explanation as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `pailou import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Route documents.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The gateway's settings, whose section `scg` says how the documents are read; without them gateway.yaml in this folder, if
    /// there is one.
    #[arg(short, long, value_name = "FILE", env = "PAILOU_CONFIG")]
    pub(crate) config: Option<PathBuf>,
}

/// Arguments of `pailou health`.
#[derive(Debug, Args)]
pub(crate) struct HealthArgs {
    /// The probes listener to ask, as host and port; by default the one of the settings.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) address: Option<String>,
    /// The gateway's settings, which say where the probes listen; without them gateway.yaml in this folder, if there is one,
    /// and PAILOU_PROBES_ADDRESS.
    #[arg(short, long, value_name = "FILE", env = "PAILOU_CONFIG")]
    pub(crate) config: Option<PathBuf>,
}
