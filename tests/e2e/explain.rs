//! `pailou explain`: what would become of a request, asked of a document and of a gateway that runs.

use serde_json::Value;

use crate::support::gateway::run;
use crate::support::world::{World, until_status};

const ROUTES: &str = "
routes:
  /api/users/**:
    service: user-service
    strip_prefix: 1
    filters:
      - remove_request_header: { name: x-drop }
      - set_request_header: { name: x-env, value: canary }
      - forward_auth: { service: auth-service }
  canary: { path: /api/users/**, match: { headers: { x-canary: 'true' } }, service: user-service }
  /old/**: { forward: /api/users/1, filters: [ { set_request_header: { name: x-from, value: old } } ] }
  /moved/**: { filters: [ { redirect: { to: 'https://new.example{target}' } } ] }
  cors: { path: /cors, match: { methods: PUT }, service: user-service, filters: [ Cors: { '/**': { allowedOrigins: '*', allowedMethods: '*' } } ] }
";

const SPRING: &str = "
spring.cloud.gateway.routes:
  - { id: spring, uri: 'lb://user-service', predicates: [ 'Path=/spring/**' ] }
";

fn explained(args: &[&str], folder: &std::path::Path) -> (bool, String) {
    let args = [&["explain"], args].concat();
    let (status, out, err) = run(&args, folder);
    (status.success(), format!("{out}{err}"))
}

#[test]
fn a_document_says_what_would_become_of_a_request() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("routes.yaml"), ROUTES).expect("a file");
    std::fs::write(folder.path().join("spring.yaml"), SPRING).expect("a file");
    let ask = |args: &[&str]| {
        let args = [args, &["--routes", "routes.yaml"]].concat();
        explained(&args, folder.path())
    };
    let url = "https://shop.example.com/api//users/./7?a=b";
    let (found, text) = ask(&["get", url, "-H", "x-drop: 1"]);
    assert!(found, "{text}");
    for expected in [
        "path       /api/users/7\n",
        "route      /api/users/**  (routes.yaml:3)\n",
        "not        canary: headers asks for x-canary",
        "filter     strip_prefix: target /users/7?a=b; x-forwarded-prefix: /api\n",
        "filter     remove_request_header: x-drop removed\n",
        "filter     set_request_header: x-env: canary\n",
        "filter     forward_auth: asks DEFAULT_GROUP@@auth-service, which is not done here\n",
        "upstream   GET /users/7?a=b  host shop.example.com\n",
        "next       no endpoint",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    let (_, text) = ask(&["GET", "/api/users/7", "-H", "x-canary: true"]);
    assert!(text.contains("route      canary "), "{text}");
    let (_, text) = ask(&["GET", "/moved/a?b=c"]);
    let answer = "answer     302 to https://new.example/moved/a?b=c, by redirect\n";
    assert!(text.contains(answer), "{text}");
    let (_, text) = ask(&["GET", "/old/a"]);
    assert!(
        text.contains("forwarded\npath       /api/users/1\n"),
        "{text}"
    );
    let (_, text) = ask(&["GET", "/api/users/a%2Fb"]);
    assert!(
        text.contains("answer     400: the path has an encoded slash"),
        "{text}"
    );
    // What is served is what is explained: a preflight goes to the route that answers it, and Spring's routes take URIs only.
    let preflight = [
        "-H",
        "origin: https://shop.example",
        "-H",
        "access-control-request-method: PUT",
    ];
    let (_, text) = ask(&[&["OPTIONS", "/cors"], &preflight[..]].concat());
    assert!(
        text.contains("route      cors ")
            && text.contains("filter     Cors: answers preflights\n")
            && text.contains("answer     200, by Cors"),
        "{text}"
    );
    let (found, text) = ask(&["GET", "/spring/{x}", "--routes", "spring.yaml"]);
    assert!(
        !found && text.contains("answer     400: the target has a character that must be encoded"),
        "{text}"
    );
    let (found, text) = ask(&["GET", "/nowhere"]);
    assert!(!found && text.contains("route      none"), "{text}");

    // Many requests, as from an access log, to be compared with what another gateway does.
    let requests = "GET /api/users/7?a=b\n# a comment\nget https://shop.example.com/moved/a\nGET /nowhere\nGET /a/..%2fb\n";
    std::fs::write(folder.path().join("requests.txt"), requests).expect("a file");
    let (found, text) = ask(&["--requests", "requests.txt"]);
    assert!(!found, "one has no route");
    assert_eq!(
        text,
        "GET\t/api/users/7?a=b\t/api/users/**\tDEFAULT_GROUP@@user-service\tGET /users/7?a=b\n\
         get\thttps://shop.example.com/moved/a\t/moved/**\t-\t302 to https://new.example/moved/a, by redirect\n\
         GET\t/nowhere\t-\t-\t404\n\
         GET\t/a/..%2fb\t-\tpath: the path has a dot segment behind an encoded slash\n"
    );

    for (args, problem) in [
        (&["GET", "/a/..%2fb"][..], "path: "),
        (&["G T", "/a"], "method: not a token"),
        (&["GET", "/a", "-H", "nonsense"], "expected name:value"),
        (&["GET", "nonsense here"], "neither a URL nor a path"),
        (&["GET", "users"], "expected `/users`"),
        (&["GET", "users/1"], "begins with `/`"),
    ] {
        let (found, text) = ask(args);
        assert!(!found && text.contains(problem), "{args:?}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_gateway_says_which_endpoint_it_would_be() {
    let (world, upstream, _registered, gateway) = World::small().await;
    world.publish(ROUTES).await;
    // Its gate is closed, since nobody registered the service.
    until_status(&gateway.url("/api/users/1"), 503).await;
    let admin = gateway.admin_url("");
    let args = ["GET", "/api/users/1", "--admin", &admin, "--json"];
    let (found, text) = explained(&args, &gateway.folder());
    assert!(found, "{text}");
    let explanation: Value = serde_json::from_str(&text).expect("JSON");
    let address = upstream.address().to_string();
    assert_eq!(explanation["upstream"]["picked"], *address, "{text}");
    assert_eq!(
        explanation["upstream"]["endpoints"][0]["in"], true,
        "{text}"
    );
    assert_eq!(
        explanation["filters"][2]["filter"], "set_request_header",
        "{text}"
    );

    let (found, text) = explained(
        &["GET", "/a", "--admin", "http://127.0.0.1:1"],
        &gateway.folder(),
    );
    assert!(
        !found && text.contains("no answer from http://127.0.0.1:1"),
        "{text}"
    );
}
