//! `pailou nacos service …`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use pailou_nacos::{Instance, ServiceName, ServiceState};
use serde::Serialize;
use serde_json::json;

use super::http::HttpError;
use super::{Desk, now_unix_ms};
use crate::cli::{DeregisterArgs, RegisterArgs, ServiceCommand};
use crate::{say, signals};

/// How many pages are asked for at most.
const MAX_PAGES: u32 = 1_000;

/// How long a removal may take to show.
const REMOVAL: Duration = Duration::from_secs(2);

pub(super) async fn run(desk: &Desk, command: ServiceCommand) -> anyhow::Result<ExitCode> {
    match command {
        ServiceCommand::List { page, size } => list(desk, page, size).await,
        ServiceCommand::Show { name } => show(desk, &name).await,
        ServiceCommand::Register(args) => register(desk, &args).await,
        ServiceCommand::Deregister(args) => deregister(desk, &args).await,
        ServiceCommand::Watch { name } => watch(desk, &name).await,
    }?;
    Ok(ExitCode::SUCCESS)
}

/// `group@@name`, or a name in the group that commands work in.
fn service(desk: &Desk, name: &str) -> ServiceName {
    match name.split_once("@@") {
        Some((group, name)) => ServiceName::new(group, name),
        None => ServiceName::new(desk.group(), name),
    }
}

async fn list(desk: &Desk, page: Option<u32>, size: u32) -> anyhow::Result<()> {
    let mut names = Vec::new();
    let mut total;
    let mut number = page.unwrap_or(1);
    loop {
        let found = desk
            .client
            .list_services(desk.group(), number, size)
            .await?;
        total = found.total;
        let is_last = found.names.is_empty() || u64::from(number) * u64::from(size) >= total;
        names.extend(found.names);
        if page.is_some() || is_last || number >= MAX_PAGES {
            break;
        }
        number += 1;
    }
    let text: String = names.iter().map(|name| format!("{name}\n")).collect();
    let value = json!({
        "namespace": desk.namespace(),
        "group": desk.group(),
        "total": total,
        "page": page,
        "services": names,
    });
    desk.print(&text, &value)?;
    Ok(())
}

/// A service, as JSON output has it.
#[derive(Serialize)]
struct Shown<'a> {
    namespace: &'a str,
    group: &'a str,
    name: &'a str,
    /// Too few are healthy, and the server calls all of them healthy.
    protected: bool,
    instances: &'a [Instance],
    #[serde(skip_serializing_if = "Option::is_none")]
    at_unix_ms: Option<u64>,
}

impl<'a> Shown<'a> {
    fn new(desk: &'a Desk, name: &'a ServiceName, state: &'a ServiceState) -> Self {
        Self {
            namespace: desk.namespace(),
            group: &name.group,
            name: &name.name,
            protected: state.protected,
            instances: &state.instances,
            at_unix_ms: None,
        }
    }
}

async fn show(desk: &Desk, name: &str) -> anyhow::Result<()> {
    let name = service(desk, name);
    let state = desk.client.query_service(&name).await?;
    if state.instances.is_empty() {
        bail!(
            "{name} has no instance that is enabled in namespace {:?}; `pailou doctor` looks where else it may be",
            desk.namespace()
        );
    }
    let lines: String = state
        .instances
        .iter()
        .map(|instance| format!("{}\n", describe(instance)))
        .collect();
    if state.protected {
        say::err("the protection threshold is reached: the server calls every instance healthy");
    }
    desk.print(&lines, &Shown::new(desk, &name, &state))?;
    Ok(())
}

/// One instance on one line, the address first.
fn describe(instance: &Instance) -> String {
    let labels = instance
        .metadata
        .iter()
        .map(|(key, value)| format!(" {key}={value}"));
    let health = if instance.healthy {
        "healthy"
    } else {
        "unhealthy"
    };
    format!(
        "{} weight {} {health} {}{}",
        address(instance),
        instance.weight,
        instance.cluster,
        labels.collect::<String>()
    )
    .replace(|c: char| c.is_control(), " ")
}

fn address(instance: &Instance) -> String {
    if instance.ip.contains(':') {
        format!("[{}]:{}", instance.ip, instance.port)
    } else {
        format!("{}:{}", instance.ip, instance.port)
    }
}

async fn register(desk: &Desk, args: &RegisterArgs) -> anyhow::Result<()> {
    let stop = signals::stop();
    tokio::pin!(stop);
    let name = service(desk, &args.name);
    let instance = Instance {
        weight: args.weight,
        cluster: args.cluster.clone(),
        metadata: args.metadata.iter().cloned().collect(),
        ..Instance::new(args.ip.to_string(), args.port)
    };
    let registration = desk.client.register(&name, instance.clone()).await?;
    let text = format!(
        "registered {} as an instance of {name}\nThe instance is ephemeral: it stays until this command ends (Ctrl-C).\n",
        address(&instance)
    );
    let value = json!({
        "registered": true,
        "namespace": desk.namespace(),
        "group": &*name.group,
        "name": &*name.name,
        "instance": instance,
    });
    if !desk.print(&text, &value)? {
        return Ok(());
    }
    (&mut stop).await;
    registration.deregister().await?;
    let value = json!({ "registered": false, "group": &*name.group, "name": &*name.name });
    desk.print(&format!("deregistered {}\n", address(&instance)), &value)?;
    Ok(())
}

async fn deregister(desk: &Desk, args: &DeregisterArgs) -> anyhow::Result<()> {
    let name = service(desk, &args.name);
    let instance = Instance {
        cluster: args.cluster.clone(),
        ephemeral: !args.persistent,
        ..Instance::new(&args.ip, args.port)
    };
    let is_listed = async || -> anyhow::Result<bool> {
        let state = desk.client.query_service(&name).await?;
        let is_it = |one: &Instance| one.ip == args.ip && one.port == args.port;
        Ok(state.instances.iter().any(is_it))
    };
    if !is_listed().await? {
        bail!(
            "{name} has no instance {} that is enabled",
            address(&instance)
        );
    }
    let http = desk.http().await?;
    let place = (&*name.group, &*name.name);
    match http.deregister(desk.namespace(), place, &instance).await {
        Ok(()) => {}
        Err(HttpError::Absent) => bail!("this server takes no removals over HTTP"),
        Err(error) => return Err(error).context("the instance was not removed"),
    }
    let gone = async {
        while is_listed().await? {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::Ok(())
    };
    match tokio::time::timeout(REMOVAL, gone).await {
        Ok(gone) => gone?,
        Err(_) => bail!(
            "{} is still listed: its owner keeps it registered; stop the owner, or disable the instance in the Nacos console",
            address(&instance)
        ),
    }
    let value = json!({
        "deregistered": true,
        "namespace": desk.namespace(),
        "group": &*name.group,
        "name": &*name.name,
        "instance": address(&instance),
    });
    desk.print(
        &format!("deregistered {} of {name}\n", address(&instance)),
        &value,
    )?;
    Ok(())
}

async fn watch(desk: &Desk, name: &str) -> anyhow::Result<()> {
    let stop = signals::stop();
    tokio::pin!(stop);
    // A watch says nothing while there is no connection; a person wants to know at once.
    let name = service(desk, name);
    desk.client.query_service(&name).await?;
    let mut watch = desk.client.watch_service(&name);
    let mut last: Option<std::sync::Arc<ServiceState>> = None;
    loop {
        let state = tokio::select! {
            state = watch.changed() => state,
            _ = &mut stop => return Ok(()),
        };
        // A new connection, and the push that follows a subscription, repeat what is known.
        if last.as_ref().is_some_and(|last| last.same_content(&state)) {
            continue;
        }
        let instances: Vec<_> = state.instances.iter().map(describe).collect();
        let text = format!("{name} {}: {}\n", instances.len(), instances.join(", "));
        let shown = Shown {
            at_unix_ms: Some(now_unix_ms()),
            ..Shown::new(desk, &name, &state)
        };
        if !desk.print(&text, &shown)? {
            return Ok(());
        }
        last = Some(state);
    }
}
