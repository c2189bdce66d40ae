//! `pailou nacos config …`.

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use pailou_config::{Node, Report, RouteSource, Severity, Value};
use pailou_nacos::{ConfigName, ConfigState, Publish};
use serde::Serialize;
use serde_json::json;

use super::http::{ConfigAddress, HttpError};
use super::{Desk, now_unix_ms, print};
use crate::cli::{ConfigCommand, PublishArgs};
use crate::judge::{Judge, Judged};
use crate::{say, signals};

/// More than any server takes.
const MAX_CONTENT_BYTES: u64 = 10 << 20;

pub(super) async fn run(desk: &Desk, command: ConfigCommand) -> anyhow::Result<ExitCode> {
    match command {
        ConfigCommand::Get { data_id } => get(desk, &data_id).await,
        ConfigCommand::Publish(args) => publish(desk, &args).await,
        ConfigCommand::Remove { data_id } => remove(desk, &data_id).await,
        ConfigCommand::Watch { data_id } => watch(desk, &data_id).await,
        ConfigCommand::History { data_id, id } => history(desk, &data_id, id.as_deref()).await,
    }?;
    Ok(ExitCode::SUCCESS)
}

/// A config, as JSON output has it.
#[derive(Serialize)]
struct Shown<'a> {
    namespace: &'a str,
    group: &'a str,
    data_id: &'a str,
    present: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    md5: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_unix_ms: Option<u64>,
}

impl<'a> Shown<'a> {
    fn new(desk: &'a Desk, data_id: &'a str, state: &'a ConfigState) -> Self {
        let config = state.config();
        Self {
            namespace: desk.namespace(),
            group: desk.group(),
            data_id,
            present: config.is_some(),
            md5: config.map(|config| config.md5.as_str()),
            kind: config.and_then(|config| config.kind.as_deref()),
            content: config.map(|config| config.content.as_str()),
            at_unix_ms: None,
        }
    }
}

fn name(desk: &Desk, data_id: &str) -> ConfigName {
    ConfigName::new(desk.group(), data_id)
}

/// A config that is not there, with the place that was looked at.
fn missing(desk: &Desk, data_id: &str) -> anyhow::Error {
    let namespace = match desk.namespace() {
        "" => "the public namespace".to_owned(),
        id => format!("namespace {id}"),
    };
    let group = desk.group();
    anyhow::anyhow!("there is no config {data_id} in group {group} of {namespace}")
}

async fn get(desk: &Desk, data_id: &str) -> anyhow::Result<()> {
    let config = desk.client.config(name(desk, data_id)).await?;
    let config = config.ok_or_else(|| missing(desk, data_id))?;
    let state = ConfigState::Present(config.clone());
    // Byte for byte, without a line break of ours: so its MD5 is the server's.
    desk.print(&config.content, &Shown::new(desk, data_id, &state))?;
    Ok(())
}

async fn publish(desk: &Desk, args: &PublishArgs) -> anyhow::Result<()> {
    let content = read(args.file.as_deref())?;
    if is_route_document(desk, &args.data_id, &content) {
        let judged = Judge::new(desk.settings.clone()).document(&args.data_id, &content);
        warn(&judged, args.force)?;
    }
    let name = name(desk, &args.data_id);
    if let Some(md5) = &args.if_md5 {
        // Servers before 3.0 ignore the condition, so that it is looked at here too.
        let present = desk.client.config(&name).await?;
        let present = present.ok_or_else(|| missing(desk, &args.data_id))?;
        if !present.md5.eq_ignore_ascii_case(md5) {
            bail!(
                "not published: the MD5 of the present content is {}, not {md5}",
                present.md5
            );
        }
    }
    let how = Publish {
        kind: Some(match &args.kind {
            Some(kind) => kind.clone(),
            None => kind_of(&args.data_id).to_owned(),
        }),
        if_md5: args.if_md5.as_deref().map(str::to_ascii_lowercase),
    };
    let bytes = content.len();
    desk.client.publish_config(&name, content, how).await?;
    let text = format!("published {name}, {bytes} bytes\n");
    let value = json!({
        "published": true,
        "namespace": desk.namespace(),
        "group": desk.group(),
        "data_id": args.data_id,
        "bytes": bytes,
    });
    desk.print(&text, &value)?;
    Ok(())
}

fn read(file: Option<&Path>) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let (what, read) = match file.filter(|file| *file != Path::new("-")) {
        None => {
            let input = std::io::stdin().lock().take(MAX_CONTENT_BYTES + 1);
            (
                "standard input".to_owned(),
                { input }.read_to_end(&mut bytes),
            )
        }
        Some(path) => {
            let file = std::fs::File::open(path)
                .with_context(|| format!("{} cannot be read", path.display()))?;
            let read = file.take(MAX_CONTENT_BYTES + 1).read_to_end(&mut bytes);
            (path.display().to_string(), read)
        }
    };
    read.with_context(|| format!("{what} cannot be read"))?;
    if bytes.len() as u64 > MAX_CONTENT_BYTES {
        bail!("{what} is longer than the {MAX_CONTENT_BYTES} bytes that Nacos takes");
    }
    String::from_utf8(bytes).with_context(|| format!("{what} is not a text in UTF-8"))
}

/// A document that the settings read routes from, or one that looks like one.
fn is_route_document(desk: &Desk, data_id: &str, content: &str) -> bool {
    let namespace = desk.namespace();
    let is_named = desk.settings.routes.iter().any(|source| match source {
        RouteSource::Config {
            nacos,
            data_id: named,
            group,
            namespace: of,
            form: _,
        } => {
            *nacos == desk.id
                && named == data_id
                && group == desk.group()
                && normal(of) == namespace
        }
        RouteSource::File { .. } => false,
    });
    is_named || has_routes(content)
}

fn normal(namespace: &str) -> &str {
    if namespace == pailou_nacos::wire::PUBLIC {
        ""
    } else {
        namespace
    }
}

fn has_routes(content: &str) -> bool {
    let node = Node::parse_yaml(content, &Report::new(""));
    let Some(Value::Mapping(entries)) = node.map(|node| node.value) else {
        return false;
    };
    entries.len() == 1
        && entries
            .iter()
            .all(|(key, node)| key.text == "routes" && matches!(node.value, Value::Mapping(_)))
}

/// Tells what is wrong with a route document.
///
/// # Errors
/// The gateway would refuse it, and nobody said to publish it all the same.
fn warn(judged: &Judged, force: bool) -> anyhow::Result<()> {
    for fault in &judged.faults {
        say::err(&fault.to_string());
    }
    if judged.is_refused() && !force {
        bail!(
            "not published: the gateway would refuse this route document and keep the last good one; --force publishes it \
             all the same"
        );
    }
    let errors = judged
        .faults
        .iter()
        .filter(|fault| fault.severity == Severity::Error)
        .count();
    if errors > 0 {
        say::err("warning: the gateway will refuse this route document and keep the last good one");
    }
    Ok(())
}

/// The format that the console shows, by the extension.
fn kind_of(data_id: &str) -> &'static str {
    match data_id.rsplit_once('.').map(|(_, extension)| extension) {
        Some("yaml" | "yml") => "yaml",
        Some("json") => "json",
        Some("properties") => "properties",
        Some("xml") => "xml",
        Some("html" | "htm") => "html",
        Some("toml") => "toml",
        _ => "text",
    }
}

async fn remove(desk: &Desk, data_id: &str) -> anyhow::Result<()> {
    let name = name(desk, data_id);
    if desk.client.config(&name).await?.is_none() {
        return Err(missing(desk, data_id));
    }
    desk.client.remove_config(&name).await?;
    let value = json!({
        "removed": true,
        "namespace": desk.namespace(),
        "group": desk.group(),
        "data_id": data_id,
    });
    desk.print(&format!("removed {name}\n"), &value)?;
    Ok(())
}

async fn watch(desk: &Desk, data_id: &str) -> anyhow::Result<()> {
    let stop = signals::stop();
    tokio::pin!(stop);
    // A watch says nothing while there is no connection; a person wants to know at once.
    let name = name(desk, data_id);
    desk.client.config(&name).await?;
    let mut watch = desk.client.watch_config(&name);
    loop {
        let state = tokio::select! {
            state = watch.changed() => state,
            _ = &mut stop => return Ok(()),
        };
        let text = match state.config() {
            Some(config) => format!("{name} {} {} bytes\n", config.md5, config.content.len()),
            None => format!("{name} absent\n"),
        };
        let shown = Shown {
            at_unix_ms: Some(now_unix_ms()),
            ..Shown::new(desk, data_id, &state)
        };
        if !desk.print(&text, &shown)? {
            return Ok(());
        }
    }
}

async fn history(desk: &Desk, data_id: &str, id: Option<&str>) -> anyhow::Result<()> {
    let http = desk.http().await?;
    let address = ConfigAddress {
        namespace: desk.namespace(),
        group: desk.group(),
        data_id,
    };
    let offers = |error: HttpError| match error {
        HttpError::Absent => {
            anyhow::anyhow!("this server offers no history of configs over HTTP: see its console")
        }
        HttpError::Forbidden(words) => anyhow::anyhow!(
            "the server refused the history ({words}): from 3.0 on it is for administrators"
        ),
        HttpError::Failed(error) => anyhow::anyhow!("no history: {error}"),
    };
    if let Some(id) = id {
        let content = match http.changed_content(address, id).await {
            // A change that is not there is answered like an API that is not there: the list tells.
            Err(HttpError::Absent) if http.history(address).await.is_ok() => None,
            other => other.map_err(offers)?,
        };
        let content = content.with_context(|| format!("{data_id} has no change {id}"))?;
        let value = json!({ "id": id, "data_id": data_id, "content": content });
        desk.print(&content, &value)?;
        return Ok(());
    }
    let changes = http.history(address).await.map_err(offers)?;
    if desk.json {
        desk.print("", &changes)?;
        return Ok(());
    }
    let lines = changes.iter().map(|change| {
        let who = [&change.user, &change.address].map(|it| it.as_deref().unwrap_or("-"));
        format!(
            "{}  {}  {}  {}\n",
            change.id,
            change.time,
            change.operation,
            who.join(" ")
        )
    });
    print(&lines.collect::<String>())?;
    if changes.is_empty() {
        say::err("no change is recorded");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_document_is_known_by_its_only_key() {
        for (content, expected) in [
            ("routes: { /a/**: a }", true),
            ("routes: {}", true),
            ("# comment\nroutes:\n  /a/**: { servce: a }\n", true),
            ("routes: []", false),
            ("routes: { /a/**: a }\nserver: { port: 1 }", false),
            ("spring: {}", false),
            ("", false),
            ("routes: [", false),
        ] {
            assert_eq!(has_routes(content), expected, "{content}");
        }
    }

    #[test]
    fn the_extension_says_the_format() {
        for (data_id, kind) in [
            ("a.yaml", "yaml"),
            ("a.b.yml", "yaml"),
            ("a.json", "json"),
            ("a", "text"),
            ("a.yaml.bak", "text"),
        ] {
            assert_eq!(kind_of(data_id), kind, "{data_id}");
        }
    }
}
