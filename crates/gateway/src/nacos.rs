//! Nacos: from the settings to a client, and `pailou nacos …`, which reads and changes Nacos with the same settings.

mod configs;
pub(crate) mod http;
mod services;

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use pailou_config::{Environment, NacosSettings, ServerAddress, Settings, load_settings};
use pailou_nacos::{
    AddressError, Client, ClientOptions, Credentials, Error, TlsIdentity, TlsOptions,
};
use pailou_upstream::ServiceId;
use serde::Serialize;

use self::http::{Http, Login};
use crate::cli::{NacosArgs, NacosCommand};
use crate::settings_file;

/// What the client must be told.
///
/// # Errors
/// An address that the settings take and the client does not.
pub(crate) fn options(settings: &Settings) -> Result<ClientOptions, AddressError> {
    options_of(&settings.nacos, settings)
}

/// The same for any Nacos in the settings.
pub(crate) fn options_of(
    nacos: &NacosSettings,
    settings: &Settings,
) -> Result<ClientOptions, AddressError> {
    let servers: Vec<_> = nacos.servers.iter().map(ServerAddress::written).collect();
    let mut options = ClientOptions::new(&servers.join(","))?;
    options.grpc_port = nacos.grpc_port;
    options.grpc_tls = nacos.grpc_tls;
    let identity = nacos.tls_cert_file.clone().zip(nacos.tls_key_file.clone());
    options.tls = TlsOptions {
        ca_file: nacos.tls_ca_file.clone(),
        identity: identity.map(|(cert_file, key_file)| TlsIdentity {
            cert_file,
            key_file,
        }),
        server_name: nacos.tls_server_name.clone(),
    };
    options.namespace.clone_from(&nacos.namespace);
    options.credentials = nacos
        .credentials()
        .map(|(user, password)| Credentials::new(user, password.expose()));
    options.app_name.clone_from(&nacos.app_name);
    options.request_timeout = nacos.request_timeout;
    options.health_check_interval = nacos.health_check_interval;
    // Discovery reports them, with what they mean for the gateway.
    options.log_connections = false;
    options.audit_interval = settings.discovery.audit_interval;
    Ok(options)
}

/// Makes clients of any other Nacos, by id and namespace.
///
/// # Errors
/// An address that the settings take and the client does not.
pub(crate) fn connector(
    settings: &Settings,
) -> Result<impl Fn(&str, &str) -> Client + Send + Sync + use<>, AddressError> {
    let default = options(settings)?;
    let mut others = BTreeMap::new();
    for (id, nacos) in &settings.other_nacos {
        others.insert(id.clone(), options_of(nacos, settings)?);
    }
    Ok(move |id: &str, namespace: &str| {
        // Sources and routes that name another id were refused.
        let mut options = others.get(id).unwrap_or(&default).clone();
        options.namespace = namespace.to_owned();
        Client::connect(options)
    })
}

/// The settings of a command that is not the gateway itself.
pub(crate) fn settings(config: Option<&Path>) -> anyhow::Result<Settings> {
    let file = settings_file::find(config);
    let loaded = load_settings(file.as_deref(), &Environment::of_process()).map_err(|faults| {
        let lines: Vec<_> = faults.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("the settings have faults:\n{}", lines.join("\n"))
    })?;
    Ok(loaded.settings)
}

/// Waits until a client of so many servers is connected.
///
/// # Errors
/// Every way was tried in vain: gRPC at each server, at least twice, and then HTTP.
pub(crate) async fn connected(client: &Client, servers: usize) -> anyhow::Result<()> {
    let tries = u64::try_from(servers.max(2)).unwrap_or(u64::MAX);
    let mut states = client.states();
    loop {
        let state = states.borrow_and_update().clone();
        if state.connected {
            return Ok(());
        }
        if client.state().counts.failed_connections >= tries {
            let error = state.last_error;
            let error = error.unwrap_or_else(|| "not connected to Nacos".to_owned());
            anyhow::bail!("{error}; `pailou doctor` looks for the reason");
        }
        states.changed().await?;
    }
}

/// Runs one command and returns its exit code.
pub(crate) async fn run(args: NacosArgs) -> anyhow::Result<ExitCode> {
    let settings = settings(args.config.as_deref())?;
    let mut nacos = nacos_named(&settings, &args.nacos)?.clone();
    if let Some(namespace) = args.namespace {
        nacos.namespace = namespace;
    }
    if let Some(group) = args.group {
        nacos.group = group;
    }
    let desk = Desk {
        client: Client::connect(options_of(&nacos, &settings)?),
        settings,
        id: args.nacos,
        nacos,
        json: args.json,
    };
    let done = async {
        connected(&desk.client, desk.nacos.servers.len()).await?;
        match args.about {
            NacosCommand::Config(command) => configs::run(&desk, command).await,
            NacosCommand::Service(command) => services::run(&desk, command).await,
        }
    };
    let done = done.await;
    let done = done.map_err(|error| with_cure(error, &desk.nacos));
    desk.client.close().await;
    done
}

/// Adds the cure to a failure to reach Nacos.
fn with_cure(error: anyhow::Error, nacos: &NacosSettings) -> anyhow::Error {
    let cure = match error.downcast_ref::<Error>() {
        Some(Error::Forbidden { .. }) if nacos.credentials().is_none() => {
            "no account is set: set nacos.username and nacos.password_file (NACOS_USERNAME, NACOS_PASSWORD)"
        }
        Some(Error::Forbidden { .. }) => {
            "give the account of nacos.username the right to do this in the namespace"
        }
        Some(
            Error::NotConnected(_)
            | Error::NotNacos { .. }
            | Error::Lost(_)
            | Error::Timeout { .. },
        ) => "`pailou doctor` looks for the reason",
        _ => return error,
    };
    anyhow::anyhow!("{error:#}; {cure}")
}

/// The settings of the Nacos with this id.
fn nacos_named<'a>(settings: &'a Settings, id: &str) -> anyhow::Result<&'a NacosSettings> {
    if id == ServiceId::DEFAULT_NACOS {
        return Ok(&settings.nacos);
    }
    settings.other_nacos.get(id).with_context(|| {
        let mut known = vec![ServiceId::DEFAULT_NACOS];
        known.extend(settings.other_nacos.keys().map(String::as_str));
        format!(
            "there is no Nacos `{id}`: the settings have {}",
            known.join(", ")
        )
    })
}

/// What every command works with.
struct Desk {
    settings: Settings,
    /// The id of the Nacos, and its settings with what the command line changes.
    id: String,
    nacos: NacosSettings,
    client: Client,
    json: bool,
}

impl Desk {
    fn group(&self) -> &str {
        &self.nacos.group
    }

    /// As names are shown.
    fn namespace(&self) -> &str {
        self.client.namespace()
    }

    /// Prints a text, or the JSON of a value if that is asked for. False when standard output is closed.
    fn print(&self, text: &str, value: &impl Serialize) -> anyhow::Result<bool> {
        if !self.json {
            return print(text);
        }
        let mut line = serde_json::to_string(value)?;
        line.push('\n');
        print(&line)
    }

    /// The HTTP API of the first server that answers, logged in where that is asked for.
    async fn http(&self) -> anyhow::Result<Http> {
        let nacos = &self.nacos;
        let mut refusal = None;
        let options = options_of(nacos, &self.settings)?;
        for server in &options.servers {
            let mut http = Http::new(options.clone(), server.clone());
            let Some((user, password)) = nacos.credentials() else {
                match http.look("/").await {
                    Ok(_) => return Ok(http),
                    Err(error) => refusal = Some(format!("{server}: {error}")),
                }
                continue;
            };
            match http.login(user, password).await {
                Login::LoggedIn | Login::Absent => return Ok(http),
                Login::Failed(error) => refusal = Some(format!("{server}: {error}")),
                Login::WrongPassword(words) | Login::UnknownUser(words) | Login::Refused(words) => {
                    anyhow::bail!(
                        "{server}: the login was refused: {words}; `pailou doctor` says why"
                    )
                }
            }
        }
        anyhow::bail!(
            "no server answers over HTTP: {}",
            refusal.unwrap_or_default()
        )
    }
}

/// Prints at once. False when standard output is closed, as after `… | head -1`.
fn print(text: &str) -> anyhow::Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("standard output"),
    }
}

/// Milliseconds since 1970.
fn now_unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since.unwrap_or(Duration::ZERO).as_millis();
    u64::try_from(millis).unwrap_or(u64::MAX)
}
