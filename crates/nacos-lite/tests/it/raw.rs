//! A client that sends and shows raw messages, over one TCP connection that never redials.

use std::{
    collections::HashMap,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hyper_util::rt::{TokioExecutor, TokioIo};
use pailou_nacos::wire::{Payload, STREAM_PATH, UNARY_PATH};
use serde_json::{Value, json};
use tokio::{net::TcpStream, sync::mpsc, task::JoinSet, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status, body::Body, client::Grpc, codegen::http::uri::PathAndQuery};
use tonic_prost::ProstCodec;

/// How long anything is waited for that must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The largest message that is taken, as `pailou-nacos` does.
const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// How many messages wait for a test to read them.
const MAX_UNREAD: usize = 10_000;

/// A message as the transcripts write it: type and JSON.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Message {
    pub(crate) kind: String,
    pub(crate) body: Value,
}

/// What is put in place of a message when the stream ends; the body has the status.
pub(crate) const STREAM_END: &str = "STREAM_END";

pub(crate) struct RawClient {
    grpc: Grpc<OneConnection>,
    outgoing: Option<mpsc::Sender<Payload>>,
    incoming: mpsc::Receiver<Message>,
    arrived: mpsc::Sender<Message>,
    passed_over: Vec<Message>,
    acknowledges: bool,
    tasks: JoinSet<()>,
}

impl RawClient {
    pub(crate) async fn connect(server: SocketAddr) -> Self {
        Self::try_connect(server)
            .await
            .expect("the server accepts connections")
    }

    pub(crate) async fn try_connect(server: SocketAddr) -> std::io::Result<Self> {
        let tcp = TcpStream::connect(server).await?;
        tcp.set_nodelay(true)?;
        let (sender, driver) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .initial_connection_window_size(16 << 20)
            .initial_stream_window_size(16 << 20)
            .handshake(TokioIo::new(tcp))
            .await
            .map_err(std::io::Error::other)?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let _ = driver.await;
        });
        let origin = format!("http://{server}")
            .parse()
            .expect("an address is an origin");
        let grpc = Grpc::with_origin(OneConnection(sender), origin)
            .max_decoding_message_size(MAX_MESSAGE_BYTES);
        let (arrived, incoming) = mpsc::channel(MAX_UNREAD);
        Ok(Self {
            grpc,
            outgoing: None,
            incoming,
            arrived,
            passed_over: Vec::new(),
            acknowledges: true,
            tasks,
        })
    }

    /// A client that is connected and set up.
    pub(crate) async fn ready(server: SocketAddr) -> Self {
        let mut client = Self::connect(server).await;
        client.set_up().await;
        client
    }

    pub(crate) async fn set_up(&mut self) {
        self.send("ConnectionSetupRequest", &json!({"clientVersion": "test"}))
            .await;
        self.wait_until_known().await;
    }

    /// From now on pushes are not acknowledged; those that arrived before are.
    pub(crate) fn silent(mut self) -> Self {
        self.acknowledges = false;
        self
    }

    /// Polls until the server has taken the set-up.
    pub(crate) async fn wait_until_known(&mut self) {
        let known = async {
            while self.call("HealthCheckRequest", &json!({})).await.kind != "HealthCheckResponse" {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(PATIENCE, known)
            .await
            .expect("the connection is set up in time");
    }

    /// Sends on the stream, which is opened by the first message.
    pub(crate) async fn send(&mut self, kind: &str, body: &Value) {
        if self.outgoing.is_none() {
            self.open_stream().await;
        }
        let sender = self.outgoing.as_ref().expect("the stream was just opened");
        sender
            .send(payload(kind, body, &HashMap::new()))
            .await
            .expect("the stream is open");
    }

    /// Opens another stream on the same connection in place of the present one, which stays open.
    pub(crate) async fn open_stream(&mut self) {
        let (sender, receiver) = mpsc::channel(16);
        let (arrived, answers) = (
            self.arrived.clone(),
            self.acknowledges.then(|| sender.clone()),
        );
        self.grpc.ready().await.expect("the connection lives");
        let codec = ProstCodec::<Payload, Payload>::default();
        let path = PathAndQuery::from_static(STREAM_PATH);
        let response = self
            .grpc
            .streaming(Request::new(ReceiverStream::new(receiver)), path, codec)
            .await;
        let mut stream = response.expect("the server takes the stream").into_inner();
        self.outgoing = Some(sender);
        self.tasks.spawn(async move {
            loop {
                let status = match stream.message().await {
                    Ok(Some(message)) => {
                        let message = read(&message);
                        let ack = message.kind.replace("Request", "Response");
                        let id = &message.body["requestId"];
                        if let (Some(answers), false) = (&answers, id.is_null()) {
                            let body = json!({"resultCode": 200, "success": true, "requestId": id});
                            let _ = answers.send(payload(&ack, &body, &HashMap::new())).await;
                        }
                        let _ = arrived.send(message).await;
                        continue;
                    }
                    Ok(None) => Code::Ok,
                    Err(status) => status.code(),
                };
                let body = json!({"status": format!("{status:?}")});
                let _ = arrived
                    .send(Message {
                        kind: STREAM_END.into(),
                        body,
                    })
                    .await;
                return;
            }
        });
    }

    pub(crate) async fn call(&mut self, kind: &str, body: &Value) -> Message {
        self.call_with(kind, body, &HashMap::new()).await
    }

    pub(crate) async fn call_with(
        &mut self,
        kind: &str,
        body: &Value,
        headers: &HashMap<String, String>,
    ) -> Message {
        self.try_call(kind, body, headers)
            .await
            .expect("the server answers")
    }

    pub(crate) async fn try_call(
        &mut self,
        kind: &str,
        body: &Value,
        headers: &HashMap<String, String>,
    ) -> Result<Message, Status> {
        self.grpc
            .ready()
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        let codec = ProstCodec::<Payload, Payload>::default();
        let request = Request::new(payload(kind, body, headers));
        let response = self
            .grpc
            .unary(request, PathAndQuery::from_static(UNARY_PATH), codec)
            .await?;
        Ok(read(response.get_ref()))
    }

    /// The first message that is wanted; others stay unread.
    pub(crate) async fn next_where(&mut self, wanted: impl Fn(&Message) -> bool) -> Message {
        if let Some(at) = self.passed_over.iter().position(&wanted) {
            return self.passed_over.remove(at);
        }
        loop {
            let arrived = timeout(PATIENCE, self.incoming.recv())
                .await
                .expect("a message in time");
            let message = arrived.expect("the sender is ours too");
            if wanted(&message) {
                return message;
            }
            self.passed_over.push(message);
        }
    }

    /// The next message of that type; others are dropped.
    pub(crate) async fn next_of(&mut self, kind: &str) -> Message {
        let found = self.next_where(|message| message.kind == kind).await;
        self.passed_over.clear();
        found
    }

    /// What has arrived and was not read.
    pub(crate) fn unread(&mut self) -> Vec<Message> {
        let mut unread = std::mem::take(&mut self.passed_over);
        unread.extend(std::iter::from_fn(|| self.incoming.try_recv().ok()));
        unread
    }
}

fn payload(kind: &str, body: &Value, headers: &HashMap<String, String>) -> Payload {
    Payload::raw(kind, body.to_string(), headers.clone())
}

fn read(payload: &Payload) -> Message {
    let body = serde_json::from_slice(payload.json()).expect("the server sends JSON");
    Message {
        kind: payload.kind().to_owned(),
        body,
    }
}

#[derive(Clone)]
struct OneConnection(hyper::client::conn::http2::SendRequest<Body>);

impl tower_service::Service<http::Request<Body>> for OneConnection {
    type Response = http::Response<hyper::body::Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
