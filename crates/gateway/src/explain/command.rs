//! `pailou explain`: the same from the command line, for a document or a running gateway.
//!
//! One request, or a file of them.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use http::Uri;
use pailou_routing::Table;

use super::{Explanation, Question, text};
use crate::cli::ExplainArgs;
use crate::judge::Judge;
use crate::{nacos, say};

/// An admin listener that takes longer does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Explains one request, or many. The code says whether a route takes each.
pub(crate) async fn run(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let asked = Asked::of(args)?;
    let all_found = match &args.requests {
        Some(file) => many(args, &asked, file).await?,
        None => one(args, &asked).await?,
    };
    Ok(match all_found {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

async fn one(args: &ExplainArgs, asked: &Asked) -> anyhow::Result<bool> {
    let (method, url) = (args.method.as_deref(), args.url.as_deref());
    let question = question(args, method.unwrap_or("GET"), url.unwrap_or("/"))?;
    let explanation = asked.explain(&question).await?;
    say::out(&match args.json {
        true => format!("{}\n", serde_json::to_string_pretty(&explanation)?),
        false => text::write(&explanation),
    })?;
    Ok(explanation.route.is_some())
}

/// Prints a line for each request, to be compared with another gateway.
async fn many(args: &ExplainArgs, asked: &Asked, file: &Path) -> anyhow::Result<bool> {
    let text = match file.as_os_str() == "-" {
        true => std::io::read_to_string(std::io::stdin()),
        false => std::fs::read_to_string(file),
    };
    let text = text.with_context(|| format!("{} cannot be read", file.display()))?;
    let mut all_found = true;
    let requests = text.lines().map(str::trim).zip(1..);
    for (line, number) in requests.filter(|(line, _)| !line.is_empty() && !line.starts_with('#')) {
        let Some((method, url)) = line.split_once(char::is_whitespace) else {
            bail!("{}:{number}: `{line}`; expected METHOD URL", file.display());
        };
        let explained = match question(args, method, url.trim()) {
            Ok(question) => asked.explain(&question).await,
            Err(error) => Err(error),
        };
        let said = match explained {
            Ok(explanation) => {
                all_found &= explanation.route.is_some();
                text::line_of(&explanation)
            }
            // A refused request counts as an answer.
            Err(error) => {
                all_found = false;
                format!("-\t{error:#}")
            }
        };
        say::out(&format!("{method}\t{}\t{said}\n", url.trim()))?;
    }
    Ok(all_found)
}

fn question(args: &ExplainArgs, method: &str, url: &str) -> anyhow::Result<Question> {
    let uri: Uri = url
        .parse()
        .with_context(|| format!("`{url}` is neither a URL nor a path that begins with `/`"))?;
    // The `URL` of `explain GET users` would be a host.
    if uri.scheme().is_none() && !url.starts_with(['/', '*']) {
        bail!("`{url}` is neither a URL nor a path; expected `/{url}`, or `http://{url}`");
    }
    let rest = uri.path_and_query().map_or("/", |rest| rest.as_str());
    // A path is taken as it is typed: a URL parser would mend it.
    let path = if url.starts_with('/') { url } else { rest };
    Ok(Question {
        path: path.to_owned(),
        method: method.to_ascii_uppercase(),
        host: uri.authority().map(ToString::to_string),
        header: Some(args.headers.join("\n")),
        scheme: uri.scheme_str().unwrap_or("http").to_owned(),
        client: args.client,
    })
}

/// Who is asked.
enum Asked {
    /// The table of documents; without a gateway no endpoint is known.
    Table(Box<Table>),
    /// A running gateway's admin listener.
    Gateway(String),
}

impl Asked {
    fn of(args: &ExplainArgs) -> anyhow::Result<Asked> {
        if !args.routes.is_empty() {
            return Ok(Asked::Table(Box::new(table(args)?)));
        }
        Ok(Asked::Gateway(match &args.admin {
            Some(base) => base.trim_end_matches('/').to_owned(),
            None => {
                let settings = nacos::settings(args.config.as_deref())?;
                let Some(address) = settings.admin.address else {
                    bail!(
                        "admin.address is off in the settings; give --routes FILE or --admin URL"
                    );
                };
                format!("http://{address}")
            }
        }))
    }

    async fn explain(&self, question: &Question) -> anyhow::Result<Explanation> {
        match self {
            Asked::Table(table) => super::answer(table, question).map_err(anyhow::Error::msg),
            Asked::Gateway(base) => of_gateway(base, question).await,
        }
    }
}

fn table(args: &ExplainArgs) -> anyhow::Result<Table> {
    let judge = match &args.config {
        Some(_) => Judge::new(nacos::settings(args.config.as_deref())?),
        None => Judge::new(nacos::settings(None)?).without_settings(),
    };
    let (mut routes, mut unrouted) = (Vec::new(), Vec::new());
    for path in &args.routes {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        let judged = judge.document(&path.display().to_string(), &text);
        for fault in &judged.faults {
            say::err(&fault.to_string());
        }
        routes.extend(judged.routes);
        unrouted.extend(judged.unrouted);
    }
    Ok(Table::assemble(1, "", routes).with_unrouted(unrouted))
}

async fn of_gateway(base: &str, question: &Question) -> anyhow::Result<Explanation> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("path", &question.path);
    query.append_pair("method", &question.method);
    query.append_pair("scheme", &question.scheme);
    for (name, value) in [("host", &question.host), ("header", &question.header)] {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
            query.append_pair(name, value);
        }
    }
    if let Some(client) = question.client {
        query.append_pair("client", &client.to_string());
    }
    let url = format!("{base}/api/v1/explain?{}", query.finish());
    let client = reqwest::Client::builder().timeout(PATIENCE).build()?;
    let answer = client.get(&url).send().await.with_context(|| {
        format!("no answer from {base}; is it the admin listener of a gateway? (--routes FILE asks a document instead)")
    })?;
    let status = answer.status();
    let body = answer
        .text()
        .await
        .with_context(|| format!("the answer of {base} broke off"))?;
    if !status.is_success() {
        let problem = serde_json::from_str::<serde_json::Value>(&body).unwrap_or_default();
        bail!(
            "{base} says: {}",
            problem["detail"].as_str().unwrap_or(&body)
        );
    }
    serde_json::from_str(&body).with_context(|| format!("{base} gave no explanation"))
}
