//! `pailou explain`: the same question from the command line, of a document or of a gateway that runs.

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

/// Explains one request. The code says whether a route takes it.
pub(crate) async fn run(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let question = question(args)?;
    let explanation = match args.routes.as_slice() {
        [] => of_gateway(args, &question).await?,
        documents => of_documents(args, documents, &question)?,
    };
    say::out(&match args.json {
        true => format!("{}\n", serde_json::to_string_pretty(&explanation)?),
        false => text::write(&explanation),
    })?;
    Ok(match explanation.route {
        Some(_) => ExitCode::SUCCESS,
        None => ExitCode::FAILURE,
    })
}

fn question(args: &ExplainArgs) -> anyhow::Result<Question> {
    let is_path = args.url.starts_with('/');
    let uri: Uri = args
        .url
        .parse()
        .with_context(|| format!("`{}` is neither a URL nor a path", args.url))?;
    let rest = uri.path_and_query().map_or("/", |rest| rest.as_str());
    // A path is taken as it is typed: a URL parser would mend it.
    let path = if is_path { &args.url } else { rest };
    Ok(Question {
        path: path.to_owned(),
        method: args.method.to_ascii_uppercase(),
        host: uri.authority().map(ToString::to_string),
        header: Some(args.headers.join("\n")),
        scheme: uri.scheme_str().unwrap_or("http").to_owned(),
        client: args.client,
    })
}

/// As the documents say, without a gateway: no endpoint is known.
fn of_documents(
    args: &ExplainArgs,
    documents: &[impl AsRef<Path>],
    question: &Question,
) -> anyhow::Result<Explanation> {
    let judge = match &args.config {
        Some(_) => Judge::new(nacos::settings(args.config.as_deref())?),
        None => Judge::new(nacos::settings(None)?).without_settings(),
    };
    let mut routes = Vec::new();
    for document in documents {
        let path = document.as_ref();
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        let judged = judge.document(&path.display().to_string(), &text);
        for fault in &judged.faults {
            say::err(&fault.to_string());
        }
        routes.extend(judged.routes);
    }
    let table = Table::assemble(1, "", routes);
    super::answer(&table, question).map_err(anyhow::Error::msg)
}

/// As a running gateway's table says.
async fn of_gateway(args: &ExplainArgs, question: &Question) -> anyhow::Result<Explanation> {
    let base = match &args.admin {
        Some(base) => base.trim_end_matches('/').to_owned(),
        None => {
            let settings = nacos::settings(args.config.as_deref())?;
            let Some(address) = settings.admin.address else {
                bail!("admin.address is off in the settings; give --routes FILE or --admin URL");
            };
            format!("http://{address}")
        }
    };
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
