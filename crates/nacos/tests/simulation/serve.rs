//! The servers' two halves: gRPC and the HTTP login.

use std::{convert::Infallible, pin::Pin};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use pailou_nacos::wire::{
    ACCESS_TOKEN, ChangedConfig, ConfigBatchListenRequest, ConfigChangeBatchListenResponse,
    ConfigQueryRequest, ConfigQueryResponse, ConnectionSetupRequest, ErrorResponse,
    HealthCheckRequest, HealthCheckResponse, InstanceRequest, InstanceResponse, Message, Payload,
    QueryServiceResponse, Response, STREAM_PATH, ServerCheckRequest, ServerCheckResponse,
    ServiceQueryRequest, SetupAckRequest, SubscribeServiceRequest, SubscribeServiceResponse,
    instance_type,
};
use serde::Deserialize;
use tokio::{
    io::DuplexStream,
    sync::mpsc,
    time::{Duration, Instant, sleep, sleep_until},
};
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};
use tonic::{Status, Streaming, body::Body, codegen::BoxFuture};
use tonic_prost::ProstCodec;

use crate::{
    nacos::{Connection, Dial, Fate, How, Nacos, SaidConfig, State},
    pipe::Pipe,
};

impl Nacos {
    pub(crate) fn serve_grpc(&self, server: usize, io: DuplexStream, pipe: Pipe, epoch: u64) {
        let id = {
            let mut state = self.state();
            let id = state.dials.len() as u64;
            state.note(|| format!("connection {id} to server {server}, perhaps epoch {epoch}"));
            let said = Vec::new();
            state.dials.push(Dial { epoch, said });
            state.connections.insert(id, Connection::new(server, pipe));
            id
        };
        let call = Call {
            nacos: self.clone(),
            server,
            id,
        };
        let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
            let call = call.clone();
            async move { Ok::<_, Infallible>(call.route(request.map(Body::new)).await) }
        });
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let nacos = self.clone();
        let task = tokio::spawn(async move {
            let _ = builder.serve_connection(TokioIo::new(io), service).await;
            nacos.drop_connection(id);
        });
        if let Some(connection) = self.state().connections.get_mut(&id) {
            connection.task = Some(task.abort_handle());
        }
    }

    /// Only the login is served over HTTP.
    pub(crate) fn serve_http(&self, server: usize, io: DuplexStream) {
        let nacos = self.clone();
        let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
            let nacos = nacos.clone();
            async move {
                let is_login = request.uri().path().ends_with("/login");
                let (status, answer) = match nacos.decide(server).await {
                    _ if !is_login => (404, String::new()),
                    Fate::Code(_) => (500, "unknown user".to_owned()),
                    Fate::Usual { pause } => {
                        sleep(pause).await;
                        nacos.state().log_in()
                    }
                    Fate::Later { .. } => (503, String::new()),
                };
                let response = http::Response::builder().status(status);
                Ok::<_, Infallible>(response.body(Full::new(Bytes::from(answer))).unwrap())
            }
        });
        let serving =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(io), service);
        tokio::spawn(serving);
    }

    /// What becomes of a request that arrives now; one to a server that stands still waits for it to go on.
    async fn decide(&self, server: usize) -> Fate {
        loop {
            let fate = self.state().fate(server);
            let Fate::Later { until } = fate else {
                return fate;
            };
            sleep_until(until).await;
        }
    }
}

#[derive(Clone)]
struct Call {
    nacos: Nacos,
    server: usize,
    id: u64,
}

impl Call {
    async fn route(self, request: http::Request<Body>) -> http::Response<Body> {
        let mut grpc = tonic::server::Grpc::new(ProstCodec::<Payload, Payload>::default());
        if request.uri().path() == STREAM_PATH {
            grpc.streaming(self, request).await
        } else {
            grpc.unary(self, request).await
        }
    }

    fn open_stream(&self) -> mpsc::Receiver<Result<Payload, Status>> {
        let (stream, receiver) = mpsc::channel(4096);
        if let Some(connection) = self.nacos.state().connections.get_mut(&self.id) {
            connection.stream = Some(stream);
        }
        receiver
    }

    async fn receive(&self, payload: &Payload) {
        if payload.kind() != ConnectionSetupRequest::KIND {
            return self.acknowledge(payload);
        }
        // The server knows the connection a little later.
        let pause = self.nacos.state().dice.u64(..40);
        sleep(Duration::from_millis(pause)).await;
        let mut state = self.nacos.state();
        let negotiates = state.schedule.negotiates;
        if let Some(connection) = state.connections.get_mut(&self.id) {
            connection.is_known = true;
            if let (true, Some(stream)) = (negotiates, &connection.stream) {
                let _ = stream.try_send(Ok(Payload::new(&SetupAckRequest::default())));
            }
        }
    }

    fn acknowledge(&self, payload: &Payload) {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Acknowledgement {
            request_id: String,
        }
        let mut state = self.nacos.state();
        match serde_json::from_slice::<Acknowledgement>(payload.json()) {
            Ok(acknowledgement) => {
                if let Some(connection) = state.connections.get_mut(&self.id) {
                    connection.acknowledged(&acknowledgement.request_id);
                }
            }
            Err(error) => state.problem(format!("{}: {error}", payload.kind())),
        }
    }

    async fn answer(&self, payload: Payload) -> Payload {
        let kind = payload.kind().to_owned();
        {
            let mut state = self.nacos.state();
            state.requests += 1;
            if let Some(connection) = state.connections.get_mut(&self.id) {
                connection.latest_request = Instant::now();
            }
        }
        let (answer, pause) = match self.nacos.decide(self.server).await {
            Fate::Usual { pause } => (self.usual(&payload), pause),
            Fate::Code(code) => (failure(&kind, code), Duration::from_millis(1)),
            Fate::Later { .. } => (failed::<ErrorResponse>(300), Duration::ZERO),
        };
        self.nacos.state().note(|| {
            let body = |payload: &Payload| String::from_utf8_lossy(payload.json()).into_owned();
            let (asked, answered) = (body(&payload), body(&answer));
            format!("{} asks {kind} {asked}; in {pause:?}: {answered}", self.id)
        });
        // Answered with what is so now: by the time it arrives, it is old.
        sleep(pause).await;
        answer
    }

    fn usual(&self, payload: &Payload) -> Payload {
        let mut state = self.nacos.state();
        if payload.kind() == ServerCheckRequest::KIND {
            let support_ability_negotiation = state.schedule.negotiates;
            return done(ServerCheckResponse {
                support_ability_negotiation,
                ..Default::default()
            });
        }
        let connection = state.connections.get(&self.id);
        if !connection.is_some_and(|c| c.is_known && !c.is_forgotten) {
            return failed::<ErrorResponse>(301);
        }
        if payload.kind() == HealthCheckRequest::KIND {
            return done(HealthCheckResponse::default());
        }
        if !state.may(payload.header(ACCESS_TOKEN)) {
            return failure(payload.kind(), 403);
        }
        let (answer, changed) = self.operate(&mut state, payload);
        drop(state);
        match changed {
            None => {}
            // A new subscriber is told what it was just answered.
            Some(Audience::Asker(name)) => self.nacos.tell(self.id, &name),
            Some(Audience::All(name)) => self.nacos.changed(&name),
        }
        answer
    }

    fn operate(&self, state: &mut State, payload: &Payload) -> (Payload, Option<Audience>) {
        match payload.kind() {
            SubscribeServiceRequest::KIND => {
                let request: SubscribeServiceRequest = payload.decode().unwrap();
                let name = request.service_name;
                let connection = state.connections.get_mut(&self.id).unwrap();
                if request.subscribe {
                    connection.subscribed.insert(name.clone())
                } else {
                    connection.subscribed.remove(&name)
                };
                let service_info = Some(self.say(state, How::Subscription, &name));
                let answer = SubscribeServiceResponse {
                    service_info,
                    ..Default::default()
                };
                (
                    done(answer),
                    request.subscribe.then_some(Audience::Asker(name)),
                )
            }
            ServiceQueryRequest::KIND => {
                let request: ServiceQueryRequest = payload.decode().unwrap();
                let answer = QueryServiceResponse {
                    service_info: Some(self.say(state, How::Query, &request.service_name)),
                    ..Default::default()
                };
                (done(answer), None)
            }
            InstanceRequest::KIND => {
                let request: InstanceRequest = payload.decode().unwrap();
                let name = request.service_name;
                let own = &mut state.connections.get_mut(&self.id).unwrap().own;
                if request.r#type == instance_type::REGISTER {
                    own.insert(name.clone(), request.instance);
                } else {
                    own.remove(&name);
                }
                (done(InstanceResponse::default()), Some(Audience::All(name)))
            }
            ConfigQueryRequest::KIND => {
                let request: ConfigQueryRequest = payload.decode().unwrap();
                (config(state, request.data_id), None)
            }
            ConfigBatchListenRequest::KIND => {
                (self.listen(state, &payload.decode().unwrap()), None)
            }
            _ => (failed::<ErrorResponse>(302), None),
        }
    }

    /// The state of a service, noted as told.
    fn say(&self, state: &mut State, how: How, name: &str) -> pailou_nacos::wire::ServiceInfo {
        let (info, stamp) = (state.view(self.server, name, false), state.next_stamp());
        state.say(self.id, how, &info, stamp);
        info
    }

    /// As real servers: a config that does not exist is "not changed" for who has nothing.
    fn listen(&self, state: &mut State, request: &ConfigBatchListenRequest) -> Payload {
        let mut changed_configs = Vec::new();
        for context in &request.config_listen_contexts {
            let listening = &mut state.connections.get_mut(&self.id).unwrap().listening;
            if !request.listen {
                listening.remove(&context.data_id);
                continue;
            }
            listening.insert(context.data_id.clone());
            let present = state.configs.get(&context.data_id);
            if present.map(|content| hash(content)).unwrap_or_default() != context.md5 {
                changed_configs.push(ChangedConfig {
                    data_id: context.data_id.clone(),
                    group: context.group.clone(),
                    tenant: None,
                });
            }
        }
        done(ConfigChangeBatchListenResponse {
            changed_configs,
            ..Default::default()
        })
    }
}

enum Audience {
    Asker(String),
    All(String),
}

fn config(state: &mut State, name: String) -> Payload {
    let content = state.configs.get(&name).cloned();
    let stamp = state.next_stamp();
    let answer = match content.clone() {
        None => failed::<ConfigQueryResponse>(300),
        Some(content) => done(ConfigQueryResponse {
            md5: Some(hash(&content)),
            content: Some(content),
            ..Default::default()
        }),
    };
    state.said_configs.push(SaidConfig {
        name,
        content,
        stamp,
    });
    answer
}

/// Any function of the content will do: the hash is the server's.
pub(crate) fn hash(content: &str) -> String {
    format!("hash of {content}")
}

fn done<R: Response>(mut response: R) -> Payload {
    response.succeed(None);
    Payload::new(&response)
}

fn failed<R: Response + Default>(code: i32) -> Payload {
    let mut response = R::default();
    response.fail(None, 500, code, format!("code {code}"));
    Payload::new(&response)
}

/// What has a meaning for every request is a failure of its own; the others are of the operation's type.
fn failure(request: &str, code: i32) -> Payload {
    match request {
        _ if [300, 301, 503].contains(&code) => failed::<ErrorResponse>(code),
        SubscribeServiceRequest::KIND => failed::<SubscribeServiceResponse>(code),
        ServiceQueryRequest::KIND => failed::<QueryServiceResponse>(code),
        InstanceRequest::KIND => failed::<InstanceResponse>(code),
        ConfigQueryRequest::KIND => failed::<ConfigQueryResponse>(code),
        ConfigBatchListenRequest::KIND => failed::<ConfigChangeBatchListenResponse>(code),
        _ => failed::<ErrorResponse>(code),
    }
}

impl tonic::server::UnaryService<Payload> for Call {
    type Response = Payload;
    type Future = BoxFuture<tonic::Response<Payload>, Status>;

    fn call(&mut self, request: tonic::Request<Payload>) -> Self::Future {
        let call = self.clone();
        Box::pin(async move {
            Ok(tonic::Response::new(
                call.answer(request.into_inner()).await,
            ))
        })
    }
}

type Pushes = Pin<Box<dyn Stream<Item = Result<Payload, Status>> + Send>>;

impl tonic::server::StreamingService<Payload> for Call {
    type Response = Payload;
    type ResponseStream = Pushes;
    type Future = BoxFuture<tonic::Response<Pushes>, Status>;

    fn call(&mut self, request: tonic::Request<Streaming<Payload>>) -> Self::Future {
        let call = self.clone();
        Box::pin(async move {
            let mut pushes = ReceiverStream::new(call.open_stream());
            let mut incoming = request.into_inner();
            tokio::spawn(async move {
                while let Ok(Some(payload)) = incoming.message().await {
                    call.receive(&payload).await;
                }
            });
            // Real servers send the stream's head with its first message only.
            let first = pushes.next().await;
            let rest = tokio_stream::iter(first).chain(pushes);
            Ok(tonic::Response::new(Box::pin(rest) as Pushes))
        })
    }
}
