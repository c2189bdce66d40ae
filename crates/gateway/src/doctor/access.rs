//! Whether the gateway is let in: login, and the right to read.

use pailou_config::{RouteSource, Settings};
use pailou_nacos::{Client, ClientOptions, ConfigName, Error, ServerAddress};

use super::findings::Findings;
use super::reach::Seen;
use crate::nacos::{
    self,
    http::{ConfigAddress, Http, Login},
};

/// Logs in as the gateway would. Gives a client if it is let in.
pub(super) async fn check(
    http: &mut Http,
    server: &ServerAddress,
    settings: &Settings,
    seen: &Seen,
    findings: &mut Findings,
) -> anyhow::Result<Option<Client>> {
    findings.progress("login");
    let options = ClientOptions {
        servers: vec![server.clone()],
        ..nacos::options(settings)?
    };
    let is_open = match knock(http, &options, settings, seen).await {
        Ok(is_open) => is_open,
        Err(error) => {
            findings.problem(
                "session",
                "",
                format!("the server takes connections and does not answer: {error}"),
                "Read the server's log. A balancer in between must work on layer 4 (TCP) and keep idle connections for 10 s.",
            );
            return Ok(None);
        }
    };
    match settings.nacos.credentials() {
        None if is_open => findings.ok("login", "", "the server asks for none, and none is set"),
        None => {
            findings.problem(
                "login",
                "",
                "the server asks for one, and none is set",
                format!(
                    "Set {} and {}.",
                    findings.setting("username", Some("NACOS_USERNAME")),
                    findings.setting("password_file", Some("NACOS_PASSWORD"))
                ),
            );
            return Ok(None);
        }
        Some((user, password)) => {
            let login = if seen.http {
                http.login(user, password).await
            } else {
                Login::Failed("the HTTP port does not answer".to_owned())
            };
            tell(&login, user, (is_open, seen.http), findings);
            if !is_open && login != Login::LoggedIn {
                return Ok(None);
            }
        }
    }
    let client = Client::connect(options);
    let reads = async {
        nacos::connected(&client, 1).await?;
        anyhow::Ok(client.config(question(settings)).await?)
    };
    match reads.await {
        Ok(_) => Ok(Some(client)),
        Err(error) => {
            let cure = match settings.nacos.credentials() {
                Some((user, _)) => format!(
                    "Give {user} a role with the right to read (`r`, or `rw` to register the gateway too) in {}.",
                    super::places::namespace(client.namespace())
                ),
                None => "Read the server's log.".to_owned(),
            };
            findings.problem("session", "", error.to_string(), cure);
            client.close().await;
            Ok(None)
        }
    }
}

/// Whether somebody without a login may read, over the transport that the gateway would use.
async fn knock(
    http: &Http,
    options: &ClientOptions,
    settings: &Settings,
    seen: &Seen,
) -> anyhow::Result<bool> {
    let question = question(settings);
    if !seen.grpc {
        let config = ConfigAddress {
            namespace: &settings.nacos.namespace,
            group: &question.group,
            data_id: &question.data_id,
        };
        return Ok(http.is_open(config).await?);
    }
    let stranger = Client::connect(ClientOptions {
        credentials: None,
        ..options.clone()
    });
    let answer = stranger.config(&question).await;
    stranger.close().await;
    match answer {
        Ok(_) => Ok(true),
        Err(Error::Forbidden { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A config that the gateway reads anyway.
fn question(settings: &Settings) -> ConfigName {
    let named = settings.routes.iter().find_map(|source| match source {
        RouteSource::Config { data_id, group, .. } => Some(ConfigName::new(group, data_id)),
        RouteSource::File { .. } => None,
    });
    named.unwrap_or_else(|| ConfigName::new(&settings.nacos.group, "pailou-routes.yaml"))
}

/// Tells of a login at a server that asks for none if it `is_open`, and whose HTTP port answers if it `speaks_http`.
fn tell(login: &Login, user: &str, (is_open, speaks_http): (bool, bool), findings: &mut Findings) {
    let username = findings.setting("username", None);
    let password = findings.setting("password_file", Some("NACOS_PASSWORD"));
    let (found, cure) = match login {
        Login::LoggedIn if is_open => {
            return findings.warning(
                "login",
                user,
                "the login works, but the server lets anybody in without one",
                "Set nacos.core.auth.enabled=true in the servers, or close their ports to everyone else.",
            );
        }
        Login::LoggedIn => return findings.ok("login", user, "the login works"),
        Login::WrongPassword(words) => (
            format!("most likely the server has this user with another password ({words})"),
            format!(
                "Correct {password}; a file's last line break is cut, nothing else. If the server has just started, wait 15 s \
                 and try again: servers load users every 15 s."
            ),
        ),
        Login::UnknownUser(words) => (
            format!("the server does not know this user, or has not loaded the user yet ({words})"),
            format!(
                "Create the user, or correct {username}; if the user or the server is new, wait 15 s and try again: servers \
                 load users every 15 s."
            ),
        ),
        Login::Refused(words) => (
            format!("refused ({words})"),
            format!(
                "Correct {username} or {password}, most likely one of them is wrong; if user or server is new, wait 15 s and \
                 try again: servers load users every 15 s."
            ),
        ),
        Login::Absent => (
            "the server offers no login by user and password".to_owned(),
            "Look at nacos.core.auth.system.type in the servers: the gateway logs in with Nacos's own accounts only, on the \
             server's port and not the console's."
                .to_owned(),
        ),
        Login::Failed(error) if speaks_http => (
            format!("the answer cannot be read: {error}"),
            "The port is open, and what answers the login there is not Nacos: look at what stands between, such as a proxy that \
             knows only some paths."
                .to_owned(),
        ),
        Login::Failed(error) => (
            format!("not tried: {error}"),
            "Open the server's HTTP port to the gateway: the login needs it.".to_owned(),
        ),
    };
    if is_open {
        let found = format!("{found}; nothing fails yet, since the server asks for no login");
        findings.warning("login", user, found, cure);
    } else {
        findings.problem("login", user, found, cure);
    }
}
