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

/// What every client of a load sends, over and over.
struct Errand {
    method: Method,
    url: String,
    /// Between two requests of a client.
    pause: Duration,
    /// Whether the upstream says which request it answers, as the scripted ones do.
    is_echoed: bool,
}

impl Load {
    /// Starts `clients` clients that GET `url` one request after another, each on its own connection.
    pub(crate) fn get(url: &str, clients: usize) -> Load {
        Load::start(Method::GET, url, clients, Duration::ZERO)
    }

    /// The same from an upstream that does not say which request it answers.
    pub(crate) fn unechoed(url: &str, clients: usize) -> Load {
        let errand = Errand {
            method: Method::GET,
            url: url.to_owned(),
            // A real service is slow to start where it gets no processor time.
            pause: Duration::from_millis(2),
            is_echoed: false,
        };
        Load::of(errand, clients)
    }

    /// The same for any method, with a pause between two requests of a client.
    pub(crate) fn start(method: Method, url: &str, clients: usize, pause: Duration) -> Load {
        Load::of(
            Errand {
                method,
                url: url.to_owned(),
                pause,
                is_echoed: true,
            },
            clients,
        )
    }

    fn of(errand: Errand, clients: usize) -> Load {
        let errand = Arc::new(errand);
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicU64::new(0));
        let tasks = (0..clients)
            .map(|_| {
                let (errand, stop, sent) = (errand.clone(), stop.clone(), sent.clone());
                tokio::spawn(async move { client(&errand, &stop, &sent).await })
            })
            .collect();
        Load { stop, sent, tasks }
    }

    /// How many requests have been begun so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }

    /// Waits until that many requests have been begun.
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

async fn client(errand: &Errand, stop: &AtomicBool, sent: &AtomicU64) -> Vec<String> {
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(5))
        .build()
        .expect("a client");
    let mut failures = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let number = sent.fetch_add(1, Ordering::SeqCst).to_string();
        if let Err(failure) = once(&client, errand, &number).await {
            failures.push(format!("request {number}: {failure}"));
        }
        if !errand.pause.is_zero() {
            tokio::time::sleep(errand.pause).await;
        }
    }
    failures
}

async fn once(client: &reqwest::Client, errand: &Errand, number: &str) -> Result<(), String> {
    let mut request = client
        .request(errand.method.clone(), &errand.url)
        .header("x-number", number);
    if errand.method == Method::POST {
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
    if errand.is_echoed && !echoed {
        return Err(format!("an answer to another request: {body}"));
    }
    Ok(())
}
