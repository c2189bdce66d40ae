//! The server's two halves: gRPC and the HTTP login.

use std::{collections::BTreeSet, convert::Infallible, pin::Pin};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use pailou_nacos::wire::{
    ACCESS_TOKEN, ChangedConfig, ConfigBatchListenRequest, ConfigChangeBatchListenResponse,
    ConfigPublishRequest, ConfigPublishResponse, ConfigQueryRequest, ConfigQueryResponse,
    ConfigRemoveRequest, ConfigRemoveResponse, ConnectionSetupRequest, ErrorResponse,
    HealthCheckRequest, HealthCheckResponse, InstanceRequest, InstanceResponse, Message, Payload,
    QueryServiceResponse, Response, STREAM_PATH, ServerCheckRequest, ServerCheckResponse,
    ServiceQueryRequest, SetupAckRequest, SubscribeServiceRequest, SubscribeServiceResponse,
    instance_type,
};
use serde_json::Value;
use tokio::{io::DuplexStream, sync::mpsc};
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};
use tonic::{Status, Streaming, body::Body, codegen::BoxFuture};
use tonic_prost::ProstCodec;

use super::{Answer, Connection, Seen, Server, State};

impl Server {
    pub(super) fn serve_grpc(&self, io: DuplexStream) {
        let id = {
            let mut state = self.state();
            state.last_connection += 1;
            let id = state.last_connection;
            let connection = Connection {
                pushes: None,
                task: None,
                is_set_up: false,
                subscribed: BTreeSet::new(),
                listening: BTreeSet::new(),
            };
            state.connections.insert(id, connection);
            id
        };
        let server = self.clone();
        let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
            let call = Call {
                server: server.clone(),
                connection: id,
            };
            async move { Ok::<_, Infallible>(call.route(request.map(Body::new)).await) }
        });
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let server = self.clone();
        let task = tokio::spawn(async move {
            let _ = builder.serve_connection(TokioIo::new(io), service).await;
            server.state().connections.remove(&id);
        });
        if let Some(connection) = self.state().connections.get_mut(&id) {
            connection.task = Some(task.abort_handle());
        }
    }

    pub(super) fn serve_http(&self, io: DuplexStream) {
        let server = self.clone();
        let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
            let server = server.clone();
            async move {
                let path = request.uri().to_string();
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let (status, answer) = server.log_in(path, &body);
                let response = http::Response::builder().status(status);
                Ok::<_, Infallible>(response.body(Full::new(Bytes::from(answer))).unwrap())
            }
        });
        tokio::spawn(
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(io), service),
        );
    }

    fn log_in(&self, path: String, body: &[u8]) -> (u16, String) {
        let mut state = self.state();
        state.login_paths.push(path);
        state
            .login_bodies
            .push(String::from_utf8(body.to_vec()).unwrap());
        if let Some(answer) = state.logins.pop_front() {
            return answer;
        }
        state.issued += 1;
        let token = format!("token-{}", state.issued);
        state.tokens.insert(token.clone());
        (
            200,
            format!(
                r#"{{"accessToken":"{token}","tokenTtl":{}}}"#,
                state.token_ttl
            ),
        )
    }
}

#[derive(Clone)]
struct Call {
    server: Server,
    connection: u64,
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

    /// Real servers send the stream's head with its first message only.
    fn open_stream(&self) -> mpsc::Receiver<Result<Payload, Status>> {
        let (pushes, receiver) = mpsc::channel(4096);
        if let Some(connection) = self.server.state().connections.get_mut(&self.connection) {
            connection.pushes = Some(pushes);
        }
        receiver
    }

    fn receive(&self, payload: &Payload) {
        let mut state = self.server.state();
        if payload.kind() != ConnectionSetupRequest::KIND {
            return state.acks.push(payload.kind().to_owned());
        }
        state.seen.push(seen(payload));
        let negotiates = state.negotiates;
        if let Some(connection) = state.connections.get_mut(&self.connection) {
            connection.is_set_up = true;
            if negotiates {
                connection.push(Payload::new(&SetupAckRequest::default()));
            }
        }
    }

    async fn answer(&self, payload: Payload) -> Payload {
        let (script, silent) = {
            let mut state = self.server.state();
            state.seen.push(seen(&payload));
            let script = state
                .answers
                .get_mut(payload.kind())
                .and_then(std::collections::VecDeque::pop_front);
            (script, state.is_silent)
        };
        if silent {
            return std::future::pending().await;
        }
        match script {
            None => self.usual(&payload),
            Some(Answer::Nothing) => std::future::pending().await,
            Some(Answer::Raw(kind, json)) => Payload::raw(kind, json, Default::default()),
            Some(Answer::Error(code)) => failed::<ErrorResponse>(code),
            Some(Answer::Fail(code)) => own_failure(payload.kind(), code),
            Some(Answer::Late(pause)) => {
                // Answered with what is so now: by the time it arrives, it is old.
                let answer = self.usual(&payload);
                tokio::time::sleep(pause).await;
                answer
            }
        }
    }

    fn usual(&self, payload: &Payload) -> Payload {
        let mut state = self.server.state();
        if payload.kind() == ServerCheckRequest::KIND {
            let support_ability_negotiation = state.negotiates;
            return done(ServerCheckResponse {
                support_ability_negotiation,
                ..Default::default()
            });
        }
        let is_set_up = state
            .connections
            .get(&self.connection)
            .is_some_and(|connection| connection.is_set_up);
        if !is_set_up || state.unknown_for > 0 {
            state.unknown_for = state.unknown_for.saturating_sub(1);
            return failed::<ErrorResponse>(301);
        }
        if payload.kind() == HealthCheckRequest::KIND {
            return done(HealthCheckResponse::default());
        }
        let may = state.tokens.is_empty()
            || payload
                .header(ACCESS_TOKEN)
                .is_some_and(|t| state.tokens.contains(t));
        if !may {
            return own_failure(payload.kind(), 403);
        }
        operate(&mut state, self.connection, payload)
    }
}

fn operate(state: &mut State, connection: u64, payload: &Payload) -> Payload {
    match payload.kind() {
        SubscribeServiceRequest::KIND => {
            let request: SubscribeServiceRequest = payload.decode().unwrap();
            let name = service_key(&request.group_name, &request.service_name);
            let subscribed = &mut state.connections.get_mut(&connection).unwrap().subscribed;
            if request.subscribe {
                subscribed.insert(name.clone())
            } else {
                subscribed.remove(&name)
            };
            let service_info = Some(state.service_info(&name));
            done(SubscribeServiceResponse {
                service_info,
                ..Default::default()
            })
        }
        ServiceQueryRequest::KIND => {
            let request: ServiceQueryRequest = payload.decode().unwrap();
            let name = service_key(&request.group_name, &request.service_name);
            done(QueryServiceResponse {
                service_info: Some(state.service_info(&name)),
                ..Default::default()
            })
        }
        InstanceRequest::KIND => {
            let request: InstanceRequest = payload.decode().unwrap();
            let name = service_key(&request.group_name, &request.service_name);
            let hosts = state.services.entry(name).or_default();
            hosts.retain(|host| host.ip != request.instance.ip);
            if request.r#type == instance_type::REGISTER {
                hosts.push(request.instance);
            }
            done(InstanceResponse::default())
        }
        ConfigQueryRequest::KIND => {
            let request: ConfigQueryRequest = payload.decode().unwrap();
            match state.configs.get(&request.data_id) {
                None => failed::<ConfigQueryResponse>(300),
                Some(content) => done(ConfigQueryResponse {
                    content: Some(content.clone()),
                    md5: Some(hash(content)),
                    ..Default::default()
                }),
            }
        }
        ConfigBatchListenRequest::KIND => listen(state, connection, &payload.decode().unwrap()),
        ConfigPublishRequest::KIND => {
            let request: ConfigPublishRequest = payload.decode().unwrap();
            let present = state
                .configs
                .get(&request.data_id)
                .map(|content| hash(content));
            if request.cas_md5.is_some() && request.cas_md5 != present {
                return failed::<ConfigPublishResponse>(500);
            }
            state.configs.insert(request.data_id, request.content);
            done(ConfigPublishResponse::default())
        }
        ConfigRemoveRequest::KIND => {
            let request: ConfigRemoveRequest = payload.decode().unwrap();
            state.configs.remove(&request.data_id);
            done(ConfigRemoveResponse::default())
        }
        _ => failed::<ErrorResponse>(302),
    }
}

/// As real servers: a config that does not exist is "not changed" for who has nothing.
fn listen(state: &mut State, connection: u64, request: &ConfigBatchListenRequest) -> Payload {
    let mut changed_configs = Vec::new();
    for context in &request.config_listen_contexts {
        let listening = &mut state.connections.get_mut(&connection).unwrap().listening;
        if !request.listen {
            listening.remove(&context.data_id);
            continue;
        }
        listening.insert(context.data_id.clone());
        let present = state
            .configs
            .get(&context.data_id)
            .map(|content| hash(content))
            .unwrap_or_default();
        if present != context.md5 {
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

fn service_key(group: &str, name: &str) -> String {
    if group == "DEFAULT_GROUP" {
        name.to_owned()
    } else {
        format!("{group}@@{name}")
    }
}

/// Any function of the content will do: the hash is the server's.
fn hash(content: &str) -> String {
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

fn own_failure(request: &str, code: i32) -> Payload {
    match request {
        SubscribeServiceRequest::KIND => failed::<SubscribeServiceResponse>(code),
        ServiceQueryRequest::KIND => failed::<QueryServiceResponse>(code),
        InstanceRequest::KIND => failed::<InstanceResponse>(code),
        ConfigQueryRequest::KIND => failed::<ConfigQueryResponse>(code),
        ConfigBatchListenRequest::KIND => failed::<ConfigChangeBatchListenResponse>(code),
        ConfigPublishRequest::KIND => failed::<ConfigPublishResponse>(code),
        _ => failed::<ErrorResponse>(code),
    }
}

fn seen(payload: &Payload) -> Seen {
    Seen {
        kind: payload.kind().to_owned(),
        body: serde_json::from_slice(payload.json()).unwrap_or(Value::Null),
        token: payload.header(ACCESS_TOKEN).map(str::to_owned),
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
                    call.receive(&payload);
                }
            });
            let first = pushes.next().await;
            let rest = tokio_stream::iter(first).chain(pushes);
            Ok(tonic::Response::new(Box::pin(rest) as Pushes))
        })
    }
}
