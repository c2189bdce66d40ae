//! What all messages have in common, and the macros that give each of them its shared fields.

use serde::{Serialize, de::DeserializeOwned};

/// A JSON body with the name that the envelope gives it.
pub trait Message: Serialize + DeserializeOwned {
    /// Simple name of the Java class.
    const KIND: &'static str;
}

/// What a client sends by the unary method.
pub trait Request: Message + Send + Sync {
    /// The type of the answer; an `ErrorResponse` or a failed answer of this very type may come in its place.
    type Response: Response;

    /// Numbers the request; servers repeat it in their logs and answers.
    fn set_request_id(&mut self, id: String);
}

/// What the server sends on the stream and wants acknowledged.
pub trait Push: Message {
    /// The acknowledgement's type.
    type Ack: Response + Default;

    /// The id that the acknowledgement must repeat.
    fn request_id(&self) -> Option<&str>;

    /// The acknowledgement of this push.
    fn ack(&self) -> Self::Ack {
        let mut ack = Self::Ack::default();
        ack.succeed(self.request_id());
        ack
    }
}

/// An answer: every one says whether it is a success.
pub trait Response: Message + Send {
    /// [`code::SUCCESS`] or not; 0 when the server left it out.
    fn result_code(&self) -> i32;
    /// Why it failed; see [`code`].
    fn error_code(&self) -> i32;
    /// The server's words.
    fn message(&self) -> Option<&str>;
    /// Marks the answer as a success for this request.
    fn succeed(&mut self, request_id: Option<&str>);
    /// Marks the answer as a failure.
    fn fail(
        &mut self,
        request_id: Option<&str>,
        result_code: i32,
        error_code: i32,
        message: String,
    );
}

/// The values of `resultCode` and `errorCode` that mean something.
pub mod code {
    /// `resultCode` of a success; everything else is a failure.
    pub const SUCCESS: i32 = 200;
    /// `resultCode` of nearly all failures.
    pub const FAIL: i32 = 500;
    /// The server is starting; for a config query: the config does not exist.
    pub const STARTING_OR_NOT_FOUND: i32 = 300;
    /// The server does not know the connection: it is dead, whatever TCP says.
    pub const UNREGISTERED: i32 = 301;
    /// The server does not know the request's type.
    pub const NO_HANDLER: i32 = 302;
    /// A wrong parameter; for a config query: the config is being written.
    pub const BAD_PARAMETER: i32 = 400;
    /// No, or no longer, the right to do this.
    pub const FORBIDDEN: i32 = 403;
    /// The server has too much to do.
    pub const OVER_THRESHOLD: i32 = 503;
}

/// Declares plain JSON objects: camel-case keys, each field optional and `null` accepted.
macro_rules! object {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$field_meta:meta])* pub $field:ident: $kind:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            $($(#[$field_meta])* #[serde(default, deserialize_with = "crate::wire::lenient::or_default")] pub $field: $kind,)*
        }
    };
}

/// Declares a request with the fields that every request has.
macro_rules! request {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$field_meta:meta])* pub $field:ident: $kind:ty,)* }) => {
        crate::wire::message::object! {
            $(#[$meta])*
            pub struct $name {
                $($(#[$field_meta])* pub $field: $kind,)*
                /// Headers inside the JSON; clients use the envelope's, servers accept both.
                pub headers: std::collections::BTreeMap<String, String>,
                /// The sender's number for this request.
                #[serde(skip_serializing_if = "Option::is_none")]
                pub request_id: Option<String>,
                /// `naming`, `config` or `internal`.
                #[serde(skip_serializing_if = "Option::is_none")]
                pub module: Option<String>,
            }
        }
        impl crate::wire::Message for $name {
            const KIND: &'static str = stringify!($name);
        }
    };
    ($(#[$meta:meta])* pub struct $name:ident -> $response:ty { $($body:tt)* }) => {
        crate::wire::message::request! { $(#[$meta])* pub struct $name { $($body)* } }
        impl crate::wire::Request for $name {
            type Response = $response;
            fn set_request_id(&mut self, id: String) {
                self.request_id = Some(id);
            }
        }
    };
    ($(#[$meta:meta])* pub struct $name:ident <- $ack:ty { $($body:tt)* }) => {
        crate::wire::message::request! { $(#[$meta])* pub struct $name { $($body)* } }
        impl crate::wire::Push for $name {
            type Ack = $ack;
            fn request_id(&self) -> Option<&str> {
                self.request_id.as_deref()
            }
        }
    };
}

/// Declares a response with the fields that every response has.
macro_rules! response {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$field_meta:meta])* pub $field:ident: $kind:ty,)* }) => {
        crate::wire::message::object! {
            $(#[$meta])*
            pub struct $name {
                /// 200 for a success.
                pub result_code: i32,
                /// Why it failed, 0 otherwise.
                pub error_code: i32,
                /// The server's words.
                #[serde(skip_serializing_if = "Option::is_none")]
                pub message: Option<String>,
                /// The number of the request that this answers.
                #[serde(skip_serializing_if = "Option::is_none")]
                pub request_id: Option<String>,
                $($(#[$field_meta])* pub $field: $kind,)*
                /// Repeats `result_code` for clients that look here.
                pub success: bool,
            }
        }
        impl crate::wire::Message for $name {
            const KIND: &'static str = stringify!($name);
        }
        impl crate::wire::Response for $name {
            fn result_code(&self) -> i32 {
                self.result_code
            }
            fn error_code(&self) -> i32 {
                self.error_code
            }
            fn message(&self) -> Option<&str> {
                self.message.as_deref()
            }
            fn succeed(&mut self, request_id: Option<&str>) {
                self.result_code = crate::wire::code::SUCCESS;
                self.error_code = 0;
                self.success = true;
                self.request_id = request_id.map(str::to_owned);
            }
            fn fail(&mut self, request_id: Option<&str>, result_code: i32, error_code: i32, message: String) {
                self.result_code = result_code;
                self.error_code = error_code;
                self.message = Some(message);
                self.success = false;
                self.request_id = request_id.map(str::to_owned);
            }
        }
    };
}

pub(super) use {object, request, response};
