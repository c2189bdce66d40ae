//! The parameters of a request, from its query and its form, and the right to make it.

use std::{collections::HashMap, str::FromStr, sync::Arc};

use axum::{
    Form,
    extract::{FromRequest, Query, Request},
    http::{HeaderMap, Method, header},
    response::{IntoResponse, Response},
};

use super::problem::{Caused, Problem};
use crate::{ConfigKey, DEFAULT_GROUP, PUBLIC, ServiceKey, core::Core, names::check};

/// Content type of text.
pub(super) const TEXT: &str = "text/plain;charset=UTF-8";

/// Parameters of a request that anybody may make.
pub(super) struct Params {
    values: HashMap<String, String>,
    pub(super) headers: HeaderMap,
    pub(super) path: String,
}

/// Parameters of a request that needs a valid token, if authentication is on.
pub(super) struct Trusted(pub(super) Params);

impl Params {
    /// A parameter that is there and not empty.
    pub(super) fn optional(&self, name: &str) -> Option<&str> {
        self.values
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    pub(super) fn required(&self, name: &str) -> Result<&str, Caused> {
        self.optional(name)
            .ok_or_else(|| Caused::bad_request(format!("Param '{name}' is required.")))
    }

    /// A header that is there and not empty.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let value = self.headers.get(name)?.to_str().ok()?;
        Some(value).filter(|value| !value.is_empty())
    }

    /// A parameter, empty or not.
    pub(super) fn raw(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// A number or the like.
    pub(super) fn parsed<T: FromStr>(&self, name: &str) -> Result<Option<T>, Caused> {
        let parse = |text: &str| {
            text.parse().map_err(|_| {
                Caused::bad_request(format!("Param '{name}' is illegal, got '{text}'."))
            })
        };
        self.optional(name).map(parse).transpose()
    }

    /// A flag by Java's rules: what is not known as true is false.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        let is_true = |text: &str| {
            matches!(
                text.to_ascii_lowercase().as_str(),
                "true" | "yes" | "on" | "t" | "y" | "1"
            )
        };
        self.optional(name).map(is_true)
    }

    /// The service that is meant: `serviceName` may carry the group, `groupName` wins if it does not.
    pub(super) fn service(&self) -> Result<ServiceKey, Caused> {
        let name = self.required("serviceName")?;
        let group = self.optional("groupName").unwrap_or(DEFAULT_GROUP);
        let (group, name) = name.split_once("@@").unwrap_or((group, name));
        let key = ServiceKey::new(self.optional("namespaceId").unwrap_or(PUBLIC), group, name);
        check::service(&key).map_err(Caused::bad_request)?;
        Ok(key)
    }

    /// The config that is meant.
    pub(super) fn config(&self) -> Result<ConfigKey, Caused> {
        let tenant = self.optional("tenant").unwrap_or(PUBLIC);
        let key = ConfigKey::new(tenant, self.required("group")?, self.required("dataId")?);
        check::config(&key).map_err(Caused::bad_request)?;
        Ok(key)
    }

    /// The token, wherever a client may put it.
    fn token(&self) -> Option<&str> {
        let header = |name| self.headers.get(name).and_then(|value| value.to_str().ok());
        header("accessToken")
            .or_else(|| header("Authorization")?.strip_prefix("Bearer "))
            .or_else(|| self.optional("accessToken"))
    }
}

impl FromRequest<Arc<Core>> for Params {
    type Rejection = Response;

    async fn from_request(request: Request, core: &Arc<Core>) -> Result<Self, Response> {
        let (headers, path) = (request.headers().clone(), request.uri().path().to_owned());
        let query = Query::<Vec<(String, String)>>::try_from_uri(request.uri())
            .map_err(IntoResponse::into_response)?;
        let mut values: HashMap<String, String> = HashMap::new();
        let form = if request.method() != Method::GET && is_form(&headers) {
            Form::<Vec<(String, String)>>::from_request(request, core)
                .await
                .map_err(IntoResponse::into_response)?
                .0
        } else {
            Vec::new()
        };
        // The first of equal names counts, and the query comes before the form.
        for (name, value) in query.0.into_iter().chain(form) {
            values.entry(name).or_insert(value);
        }
        Ok(Self {
            values,
            headers,
            path,
        })
    }
}

impl FromRequest<Arc<Core>> for Trusted {
    type Rejection = Response;

    async fn from_request(request: Request, core: &Arc<Core>) -> Result<Self, Response> {
        let params = Params::from_request(request, core).await?;
        let tokens = &core.tokens;
        let checked = match (
            params.token(),
            params.optional("username"),
            params.optional("password"),
        ) {
            // Old clients send user and password with every request.
            (None, Some(user), Some(password)) if tokens.are_needed() => {
                tokens.verify(user, password)
            }
            (token, ..) => tokens.check(token),
        };
        match checked {
            Ok(()) => Ok(Self(params)),
            Err(message) => Err(Problem::Forbidden(message.to_owned()).at(&params.path)),
        }
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default();
    kind.starts_with("application/x-www-form-urlencoded")
}
