//! The HTTP half: what `curl` and the Python SDK 0.1.14 send, and what they get.

mod access;
mod catalog;
mod configs;
mod instances;
mod version_3;

use std::time::Duration;

use pailou_nacos_lite::{Instance, Options, Registry};
use reqwest::{Client, Method, StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::raw::{Message, PATIENCE, RawClient};

const FORM: &str = "application/x-www-form-urlencoded";

struct Http {
    registry: Registry,
    client: Client,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

impl Http {
    async fn start(options: Options) -> Self {
        let registry = Registry::start(options)
            .await
            .expect("there are free ports");
        Self {
            registry,
            client: Client::new(),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/nacos{path}", self.registry.http_addr())
    }

    /// `METHOD path?query`, and a form.
    async fn ask(&self, request: &str, form: &str) -> Answer {
        self.ask_with(request, form, &[]).await
    }

    async fn ask_with(&self, request: &str, form: &str, headers: &[(&str, &str)]) -> Answer {
        let (method, path) = request.split_once(' ').expect("method and path");
        let method: Method = method.parse().expect("a method");
        let mut request = self.client.request(method, self.url(path));
        if !form.is_empty() {
            request = request.header("content-type", FORM).body(form.to_owned());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = timeout(PATIENCE, request.send())
            .await
            .expect("an answer in time")
            .expect("the server answers");
        let (status, headers) = (answer.status(), answer.headers().clone());
        Answer {
            status,
            headers,
            body: answer.text().await.expect("the answer is text"),
        }
    }

    async fn hosts(&self, query: &str) -> Vec<(String, bool, f64)> {
        let list = self
            .ask(&format!("GET /v1/ns/instance/list?{query}"), "")
            .await
            .json();
        let host = |host: &Value| {
            let ip = host["ip"]
                .as_str()
                .expect("a host has an address")
                .to_owned();
            (
                ip,
                host["healthy"] == true,
                host["weight"].as_f64().expect("a host has a weight"),
            )
        };
        list["hosts"]
            .as_array()
            .expect("a list has hosts")
            .iter()
            .map(host)
            .collect()
    }
}
