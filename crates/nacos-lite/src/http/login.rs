//! Logins. A failure is a 500 or a 403 by version, as real servers have it.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::{params::Params, problem::Problem};
use crate::{auth::LoginError, core::Core};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LoggedIn<'a> {
    access_token: String,
    token_ttl: u64,
    global_admin: bool,
    username: &'a str,
}

pub(super) async fn version_1(State(core): State<Arc<Core>>, params: Params) -> Response {
    login(&core, &params, |_| {
        Problem::Broken("Handle API Compatibility failed, please see log for detail.")
    })
}

pub(super) async fn version_3(State(core): State<Arc<Core>>, params: Params) -> Response {
    login(&core, &params, |error| match error {
        LoginError::WrongPassword => Problem::Broken("No message available"),
        LoginError::UnknownUser => Problem::Forbidden("Access Denied".into()),
    })
}

fn login(core: &Core, params: &Params, problem: impl FnOnce(LoginError) -> Problem) -> Response {
    let user = params.optional("username").unwrap_or_default();
    match core
        .tokens
        .login(user, params.optional("password").unwrap_or_default())
    {
        Ok(login) => Json(LoggedIn {
            access_token: login.token,
            token_ttl: login.ttl.as_secs(),
            global_admin: true,
            username: user,
        })
        .into_response(),
        Err(error) => problem(error).at(&params.path),
    }
}
