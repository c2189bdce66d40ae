//! Load in the background, every answer judged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use reqwest::Method;
use tokio::task::JoinHandle;

/// Requests that run until they are told to stop.
///
/// Failed means: a connect error, a reset, a status other than the expected one, an answer to another request, a
/// truncated body, or more than 5 s.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<Vec<String>>>,
}

/// What came of a load.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) sent: u64,
    pub(crate) failures: Vec<String>,
}

impl Outcome {
    /// Fails the test when any request failed.
    pub(crate) fn assert_clean(&self) {
        assert!(
            self.failures.is_empty(),
            "{} of {} requests failed, first: {:#?}",
            self.failures.len(),
            self.sent,
            &self.failures[..self.failures.len().min(10)]
        );
    }
}

impl Load {
    /// Starts `clients` clients that GET `url` one request after another, each on its own connection.
    pub(crate) fn get(url: &str, clients: usize) -> Load {
        Load::start(Method::GET, url, clients, Duration::ZERO)
    }

    /// The same for any method, with a pause between two requests of a client.
    pub(crate) fn start(method: Method, url: &str, clients: usize, pause: Duration) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicU64::new(0));
        let tasks = (0..clients)
            .map(|_| {
                let (method, url, stop, sent) =
                    (method.clone(), url.to_owned(), stop.clone(), sent.clone());
                tokio::spawn(async move { client(&method, &url, pause, &stop, &sent).await })
            })
            .collect();
        Load { stop, sent, tasks }
    }

    /// How many requests have been answered or have failed so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }

    /// Waits until that many requests have gone.
    pub(crate) async fn reached(&self, requests: u64) {
        while self.sent() < requests {
            assert!(
                !self.tasks.iter().all(JoinHandle::is_finished),
                "the load ended early"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Lets every client finish its request and reports.
    pub(crate) async fn finish(self) -> Outcome {
        self.stop.store(true, Ordering::SeqCst);
        let mut failures = Vec::new();
        for task in self.tasks {
            failures.extend(task.await.expect("a load client"));
        }
        Outcome {
            sent: self.sent.load(Ordering::SeqCst),
            failures,
        }
    }
}

async fn client(
    method: &Method,
    url: &str,
    pause: Duration,
    stop: &AtomicBool,
    sent: &AtomicU64,
) -> Vec<String> {
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(5))
        .build()
        .expect("a client");
    let mut failures = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let number = sent.fetch_add(1, Ordering::SeqCst).to_string();
        if let Err(failure) = once(&client, method, url, &number).await {
            failures.push(failure);
        }
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
    failures
}

async fn once(
    client: &reqwest::Client,
    method: &Method,
    url: &str,
    number: &str,
) -> Result<(), String> {
    let mut request = client
        .request(method.clone(), url)
        .header("x-number", number);
    if *method == Method::POST {
        request = request.body("a body");
    }
    let response = request.send().await.map_err(|e| format!("{e:?}"))?;
    let status = response.status();
    let echoed = response
        .headers()
        .get("x-number")
        .is_some_and(|echo| echo == number);
    let body = response
        .text()
        .await
        .map_err(|e| format!("truncated: {e:?}"))?;
    if !status.is_success() {
        return Err(format!("{status}: {body}"));
    }
    if !echoed {
        return Err(format!("an answer to another request: {body}"));
    }
    Ok(())
}
