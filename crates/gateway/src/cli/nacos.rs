//! Arguments of `pailou doctor` and of `pailou nacos …`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use pailou_upstream::ServiceId;

/// Arguments of `pailou doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// The gateway's settings; without them gateway.yaml in this folder, if there is one.
    #[arg(short, long, value_name = "FILE", env = "PAILOU_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Print the findings as JSON, one object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `pailou nacos`.
#[derive(Debug, Args)]
pub(crate) struct NacosArgs {
    /// The gateway's settings, which say where Nacos is; without them gateway.yaml in this folder, if there is one.
    #[arg(short, long, value_name = "FILE", env = "PAILOU_CONFIG", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// Which Nacos: `default`, or one of `other_nacos` in the settings.
    #[arg(long, value_name = "ID", global = true, default_value = ServiceId::DEFAULT_NACOS)]
    pub(crate) nacos: String,
    /// The namespace's id; the one in the settings of that Nacos unless given.
    #[arg(short, long, value_name = "ID", global = true)]
    pub(crate) namespace: Option<String>,
    /// The group; the one in the settings of that Nacos unless given.
    #[arg(short, long, value_name = "GROUP", global = true)]
    pub(crate) group: Option<String>,
    /// Print JSON: one object, or one in each line where a command prints as it goes.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// What to look at.
    #[command(subcommand)]
    pub(crate) about: NacosCommand,
}

/// The two things that Nacos keeps.
#[derive(Debug, Subcommand)]
pub(crate) enum NacosCommand {
    /// Configs, the gateway's route documents among them.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Services and their instances.
    #[command(subcommand)]
    Service(ServiceCommand),
}

/// What can be done with a config.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print a config byte for byte; exit code 1 if there is none.
    Get {
        /// The data id, extension included.
        data_id: String,
    },
    /// Publish a config from a file or from standard input.
    #[command(
        after_help = "A route document that the gateway would refuse is not published without --force: `pailou check` \
                      says what is wrong with it.\n\n  pailou nacos config publish pailou-routes.yaml routes.yaml\n  \
                      md5=$(pailou nacos config get pailou-routes.yaml | md5sum | cut -c-32)\n  \
                      pailou nacos config publish pailou-routes.yaml routes.yaml --if-md5 $md5"
    )]
    Publish(PublishArgs),
    /// Remove a config. The gateway keeps the routes of a removed document; publish `routes: {}` to have none.
    Remove {
        /// The data id, extension included.
        data_id: String,
    },
    /// Print a line for the config's state now and for each change, until Ctrl-C.
    Watch {
        /// The data id, extension included; it need not exist yet.
        data_id: String,
    },
    /// List the changes of a config, newest first, or print the content that one change holds.
    #[command(
        after_help = "The history comes from the server's HTTP API, which not every server has and not every account may use.\n\
                      An insertion holds the new content. An update or a removal holds the content before it."
    )]
    History {
        /// The data id, extension included.
        data_id: String,
        /// The change whose content is printed, as listed.
        #[arg(long, value_name = "ID")]
        id: Option<String>,
    },
}

/// Arguments of `pailou nacos config publish`.
#[derive(Debug, Args)]
pub(crate) struct PublishArgs {
    /// The data id, extension included.
    pub(crate) data_id: String,
    /// The file; standard input if it is left out or `-`.
    pub(crate) file: Option<PathBuf>,
    /// Publish only if the present content has this MD5. On servers before 3.0 somebody may publish between check and publish.
    #[arg(long, value_name = "MD5")]
    pub(crate) if_md5: Option<String>,
    /// The format that the console shows; by the data id's extension unless given.
    #[arg(long = "type", value_name = "FORMAT")]
    pub(crate) kind: Option<String>,
    /// Publish a route document although the gateway would refuse it.
    #[arg(long)]
    pub(crate) force: bool,
}

/// What can be done with a service.
#[derive(Debug, Subcommand)]
pub(crate) enum ServiceCommand {
    /// List the services of the group.
    List {
        /// One page of them, from 1; all of them unless given.
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
        page: Option<u32>,
        /// How many names a page has.
        #[arg(long, default_value_t = 100, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=500))]
        size: u32,
    },
    /// Print the instances of a service; exit code 1 if there is none. Nacos does not list disabled instances.
    Show {
        /// The service, or `group@@service`.
        name: String,
    },
    /// Register an instance and keep it registered until Ctrl-C.
    Register(RegisterArgs),
    /// Remove an instance that was registered over HTTP, or that outlives its owner.
    #[command(
        after_help = "An instance that its owner keeps registered over gRPC belongs to the owner's connection and cannot \
                      be removed by anyone else. Stop the owner, or disable the instance in the Nacos console."
    )]
    Deregister(DeregisterArgs),
    /// Print a line for the service's instances now and for each change, until Ctrl-C.
    Watch {
        /// The service, or `group@@service`; it need not exist yet.
        name: String,
    },
}

/// Arguments of `pailou nacos service register`.
#[derive(Debug, Args)]
pub(crate) struct RegisterArgs {
    /// The service, or `group@@service`.
    pub(crate) name: String,
    /// The instance's address.
    #[arg(long)]
    pub(crate) ip: IpAddr,
    /// The instance's port.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: u16,
    /// Its share of the traffic; 0 for none.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) weight: f64,
    /// Its cluster.
    #[arg(long, value_name = "NAME", default_value = pailou_nacos::DEFAULT_CLUSTER)]
    pub(crate) cluster: String,
    /// A label; may be given several times.
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    pub(crate) metadata: Vec<(String, String)>,
}

/// Arguments of `pailou nacos service deregister`.
#[derive(Debug, Args)]
pub(crate) struct DeregisterArgs {
    /// The service, or `group@@service`.
    pub(crate) name: String,
    /// The instance's address.
    #[arg(long)]
    pub(crate) ip: String,
    /// The instance's port.
    #[arg(long)]
    pub(crate) port: u16,
    /// Its cluster.
    #[arg(long, value_name = "NAME", default_value = pailou_nacos::DEFAULT_CLUSTER)]
    pub(crate) cluster: String,
    /// The instance is persistent.
    #[arg(long)]
    pub(crate) persistent: bool,
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}
