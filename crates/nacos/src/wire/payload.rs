//! The protobuf envelope, written by hand so that no protobuf compiler is needed.

use std::collections::HashMap;

use bytes::Bytes;

use super::message::Message;

/// One message on the wire: what it is, and its JSON.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Payload {
    /// What the body is, and request headers.
    #[prost(message, optional, tag = "2")]
    pub metadata: Option<Metadata>,
    /// The JSON body.
    #[prost(message, optional, tag = "3")]
    pub body: Option<Any>,
}

/// The envelope's head.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Metadata {
    /// Simple name of the Java class of the body, such as `SubscribeServiceRequest`.
    #[prost(string, tag = "3")]
    pub kind: String,
    /// Request headers: `accessToken`, `app` and others.
    #[prost(map = "string, string", tag = "7")]
    pub headers: HashMap<String, String>,
    /// The sender's address as it sees it; servers log it.
    #[prost(string, tag = "8")]
    pub client_ip: String,
}

/// `google.protobuf.Any`; Nacos leaves the type URL empty.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Any {
    /// Unused by Nacos.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// UTF-8 JSON.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

/// Why a payload could not be read as the wanted message.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The payload names another type.
    #[error("expected {expected}, received {received}")]
    Kind {
        /// The type that was wanted.
        expected: &'static str,
        /// The type that the payload names.
        received: String,
    },
    /// The body is not the JSON of this type.
    #[error("{kind}: {error}")]
    Json {
        /// The type that was wanted.
        kind: &'static str,
        /// What is wrong with the JSON.
        error: serde_json::Error,
    },
}

impl Payload {
    /// Wraps a message, without headers.
    pub fn new<M: Message>(message: &M) -> Self {
        Self::with_headers(message, HashMap::new())
    }

    /// Wraps a message with metadata headers, such as the access token.
    ///
    /// # Panics
    /// Never: every message is a struct with string keys, which JSON can always hold.
    pub fn with_headers<M: Message>(message: &M, headers: HashMap<String, String>) -> Self {
        let json = serde_json::to_vec(message).expect("a struct with string keys is always JSON");
        Self::raw(M::KIND, json, headers)
    }

    /// Wraps bytes as they are: for tests that send what no message type allows.
    pub fn raw(
        kind: impl Into<String>,
        json: impl Into<Bytes>,
        headers: HashMap<String, String>,
    ) -> Self {
        Self {
            metadata: Some(Metadata {
                kind: kind.into(),
                headers,
                client_ip: String::new(),
            }),
            body: Some(Any {
                type_url: String::new(),
                value: json.into(),
            }),
        }
    }

    /// The name of the body's type; empty when the payload has no metadata.
    pub fn kind(&self) -> &str {
        self.metadata.as_ref().map_or("", |metadata| &metadata.kind)
    }

    /// A metadata header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.metadata
            .as_ref()?
            .headers
            .get(name)
            .map(String::as_str)
    }

    /// The JSON body; empty when there is none.
    pub fn json(&self) -> &[u8] {
        self.body.as_ref().map_or(&[], |body| &body.value)
    }

    /// Reads the body as `M`.
    ///
    /// # Errors
    /// When the payload names another type, or the body is not its JSON.
    pub fn decode<M: Message>(&self) -> Result<M, WireError> {
        if self.kind() != M::KIND {
            return Err(WireError::Kind {
                expected: M::KIND,
                received: self.kind().to_owned(),
            });
        }
        self.decode_body()
    }

    /// Reads the body as `M` whatever type the payload names: an `ErrorResponse` may stand for any response.
    ///
    /// # Errors
    /// When the body is not JSON of this shape.
    pub fn decode_body<M: Message>(&self) -> Result<M, WireError> {
        let json = if self.json().is_empty() {
            b"{}"
        } else {
            self.json()
        };
        serde_json::from_slice(json).map_err(|error| WireError::Json {
            kind: M::KIND,
            error,
        })
    }
}
