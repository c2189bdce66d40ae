//! Tokens, health, and how failures are told.

use super::*;

#[tokio::test]
async fn with_authentication_a_token_is_needed_and_may_be_anywhere() {
    let auth = Some(("nacos".to_owned(), "se cret".to_owned()));
    let http = Http::start(Options {
        auth,
        ..Options::default()
    })
    .await;
    let list = "GET /v1/ns/instance/list?serviceName=s";
    let refused = http.ask(list, "").await;
    let mut body = refused.json();
    assert!(body["timestamp"].take().is_string());
    let message =
        "Code: 401, Message: User not found! Please check user exist or password is right!.";
    let path = "/nacos/v1/ns/instance/list";
    let expected = json!({"timestamp": null, "status": 403, "error": "Forbidden", "message": message, "path": path});
    assert_eq!((refused.status.as_u16(), body), (403, expected));
    for login in [
        "/v1/auth/login",
        "/v1/auth/users/login",
        "/v3/auth/user/login",
    ] {
        let answer = http
            .ask(&format!("POST {login}"), "username=nacos&password=se+cret")
            .await
            .json();
        assert_eq!(
            (&answer["tokenTtl"], &answer["globalAdmin"]),
            (&json!(18_000), &json!(true))
        );
        let token = answer["accessToken"].as_str().expect("there is a token");
        let bearer = format!("Bearer {token}");
        let in_query = format!("{list}&accessToken={token}");
        for (request, headers) in [
            (list, vec![("accessToken", token)]),
            (list, vec![("Authorization", bearer.as_str())]),
            (in_query.as_str(), vec![]),
        ] {
            assert_eq!(
                http.ask_with(request, "", &headers).await.status.as_u16(),
                200,
                "{request} {headers:?}"
            );
        }
        http.registry.faults().expire_tokens();
        let expired = http.ask_with(list, "", &[("accessToken", token)]).await;
        assert_eq!(
            (expired.status.as_u16(), expired.json()["message"].clone()),
            (403, json!("Code: 401, Message: token expired!."))
        );
    }
    for (login, form, status) in [
        ("/v1/auth/login", "username=nacos&password=x", 500),
        ("/v1/auth/users/login", "username=x&password=x", 500),
        ("/v3/auth/user/login", "username=nacos&password=x", 500),
        ("/v3/auth/user/login", "username=x&password=x", 403),
    ] {
        assert_eq!(
            http.ask(&format!("POST {login}"), form)
                .await
                .status
                .as_u16(),
            status,
            "{login} {form}"
        );
    }
    // The Python SDK 0.1.14 puts user and password into queries, and has no query when it registers.
    assert_eq!(
        http.ask(&format!("{list}&username=nacos&password=se+cret"), "")
            .await
            .status
            .as_u16(),
        200
    );
    assert_eq!(
        http.ask(&format!("{list}&username=nacos&password=x"), "")
            .await
            .status
            .as_u16(),
        403
    );
    assert_eq!(
        http.ask("POST /v1/ns/instance", "serviceName=s&ip=1&port=1")
            .await
            .status
            .as_u16(),
        403
    );
}

#[tokio::test]
async fn health_needs_no_token() {
    let auth = Some(("nacos".to_owned(), "secret".to_owned()));
    let http = Http::start(Options {
        auth,
        ..Options::default()
    })
    .await;
    for (path, body) in [
        ("/v1/ns/operator/metrics", r#"{"status":"UP"}"#),
        ("/v1/console/health/readiness", "OK"),
        ("/v1/console/health/liveness", "OK"),
        (
            "/v3/admin/core/state/readiness",
            r#"{"code":0,"message":"success","data":"ok"}"#,
        ),
    ] {
        let answer = http.ask(&format!("GET {path}"), "").await;
        assert_eq!(
            (answer.status.as_u16(), answer.body.as_str()),
            (200, body),
            "{path}"
        );
    }
    let state = http.ask("GET /v1/console/server/state", "").await.json();
    assert_eq!(state["standalone_mode"], "standalone");
}

#[tokio::test]
async fn faults_of_a_request_are_told_in_the_servers_words() {
    let http = Http::start(Options::default()).await;
    http.registry
        .put_instance("s", Instance::new("10.0.0.1", 80));
    let unknown = "caused: service not found, namespace: public, serviceName: DEFAULT_GROUP@@none;";
    let long = "x".repeat(1100);
    for (request, status, body) in [
        (
            "GET /v1/ns/instance/list",
            400,
            "caused: Param 'serviceName' is required.;",
        ),
        (
            "POST /v1/ns/instance?serviceName=s&port=1",
            400,
            "caused: Param 'ip' is required.;",
        ),
        (
            "POST /v1/ns/instance?serviceName=s&ip=1&port=x",
            400,
            "caused: Param 'port' is illegal, got 'x'.;",
        ),
        (
            "POST /v1/ns/instance?serviceName=s&ip=1&port=99999",
            400,
            "caused: Param 'port' is illegal, got '99999'.;",
        ),
        (
            "POST /v1/ns/instance?serviceName=s&ip=1&port=1&weight=-1",
            400,
            "caused: instance format invalid: The weights range from 0 to 10000;",
        ),
        (
            "POST /v1/ns/instance?serviceName=s&ip=1&port=1&weight=NaN",
            400,
            "caused: instance format invalid: The weights range from 0 to 10000;",
        ),
        (
            "POST /v1/ns/instance?serviceName=s&ip=1&port=1&ephemeral=false",
            400,
            "errCode: 400, errMsg: Current service DEFAULT_GROUP@@s is ephemeral service, can't register persistent instance. ",
        ),
        (
            "POST /v1/ns/instance?serviceName=s&ip=1&port=1&metadata=a",
            400,
            "caused: metadata format incorrect:a;",
        ),
        (
            &format!("POST /v1/ns/instance?serviceName=s&ip=1&port=1&metadata=a={long}"),
            400,
            "caused: Param 'metadata' is illegal, the param length should not exceed 1024.;",
        ),
        (
            "PUT /v1/ns/instance?serviceName=none&ip=1&port=1",
            400,
            unknown,
        ),
        (
            "GET /v1/ns/instance?serviceName=s&ip=1&port=1",
            404,
            "caused: no matched ip found!;",
        ),
        (
            "GET /v1/ns/instance?serviceName=none&ip=1&port=1",
            404,
            "caused: no ips found for cluster DEFAULT in service DEFAULT_GROUP@@none;",
        ),
        (
            "POST /v1/cs/configs?dataId=a&group=G&content=+",
            400,
            "caused: content is blank :  ;",
        ),
        (
            "GET /v1/cs/configs?dataId=a+b&group=G",
            400,
            "caused: Param 'dataId' is illegal, illegal characters should not appear in the param.;",
        ),
        (
            "GET /v1/ns/service/list",
            400,
            "caused: Param 'pageNo' is required.;",
        ),
    ] {
        let answer = http.ask(request, "").await;
        assert_eq!(
            (answer.status.as_u16(), answer.body.as_str()),
            (status, body),
            "{request}"
        );
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_have_springs_shape() {
    let http = Http::start(Options::default()).await;
    for (request, status, error, message) in [
        (
            "GET /v2/ns/instance/list",
            404,
            "Not Found",
            "No endpoint GET /nacos/v2/ns/instance/list.",
        ),
        (
            "GET /v1/auth/login",
            405,
            "Method Not Allowed",
            "Method 'GET' is not supported.",
        ),
        (
            "DELETE /v1/ns/instance/list",
            405,
            "Method Not Allowed",
            "Method 'DELETE' is not supported.",
        ),
    ] {
        let answer = http.ask(request, "").await;
        let body = answer.json();
        let path = format!("/nacos{}", request.split_once(' ').unwrap().1);
        assert_eq!(answer.status.as_u16(), status, "{request}");
        assert_eq!(
            (&body["status"], &body["error"]),
            (&json!(status), &json!(error))
        );
        assert_eq!(
            (&body["message"], &body["path"]),
            (&json!(message), &json!(path))
        );
    }
}

#[tokio::test]
async fn a_body_beyond_the_bound_is_refused() {
    let http = Http::start(Options::default()).await;
    let form = format!("dataId=a&group=G&content={}", "x".repeat(17 << 20));
    assert_eq!(
        http.ask("POST /v1/cs/configs", &form).await.status,
        StatusCode::PAYLOAD_TOO_LARGE
    );
}
