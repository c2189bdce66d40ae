//! Starting: settings, environment, ports.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::gateway::{Gateway, command, run};
use crate::support::ports::free_port;
use crate::support::process::Process;
use crate::support::until;
use crate::support::upstream::Upstream;
use crate::support::world::{World, until_status};

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn run_with(settings: &str) -> (bool, String) {
    let folder = TempDir::new().expect("a folder");
    std::fs::write(folder.path().join("gateway.yaml"), settings).expect("a written file");
    let (status, out, err) = run(&["run", "--config", "gateway.yaml"], folder.path());
    (status.success(), format!("{out}{err}"))
}

#[test]
fn a_port_in_use_is_one_clear_line_for_each_listener() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let free = "127.0.0.1:0";
    for (data, admin, probes) in [
        (address.to_string(), free.into(), free.into()),
        (free.into(), address.to_string(), free.into()),
        (free.into(), String::from(free), address.to_string()),
    ] {
        let (success, said) = run_with(&format!(
            "listeners: [{{ address: '{data}' }}]\nadmin: {{ address: '{admin}' }}\nprobes: {{ address: '{probes}' }}\n"
        ));
        assert!(!success, "{said}");
        assert!(
            said.contains(&address.to_string()) && said.contains("in use"),
            "{said}"
        );
        assert!(!said.contains("panicked"), "{said}");
    }
}

#[test]
fn a_wrong_setting_is_refused_with_its_line_and_the_nearest_name() {
    let (success, said) = run_with("listeners:\n  - adress: 127.0.0.1:0\n");
    assert!(!success);
    assert!(
        said.contains("gateway.yaml:2:") && said.contains("address"),
        "{said}"
    );
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn a_missing_settings_file_is_named() {
    let folder = TempDir::new().expect("a folder");
    let (status, out, err) = run(&["run", "--config", "nowhere.yaml"], folder.path());
    assert!(!status.success());
    assert!(format!("{out}{err}").contains("nowhere.yaml"));
}

#[test]
fn settings_without_an_end_are_refused() {
    for command in ["run", "doctor"] {
        let (status, out, err) = run(&[command, "--config", "/dev/zero"], Path::new("/"));
        assert!(!status.success());
        let said = format!("{out}{err}");
        assert!(
            said.contains("/dev/zero: more than the 1048576 bytes that settings may have"),
            "{said}"
        );
    }
}

#[test]
fn print_config_shows_every_setting_with_its_origin_and_no_secret() {
    let folder = TempDir::new().expect("a folder");
    std::fs::write(
        folder.path().join("gateway.yaml"),
        "nacos: { username: nacos, password: hunter2 }\nlimits: { header_timeout: 3s }\n",
    )
    .expect("a written file");
    let output = command(&["run", "--config", "gateway.yaml", "--print-config"])
        .current_dir(folder.path())
        .env("NACOS_NAMESPACE", "prod")
        .env("LOG_LEVEL", "debug")
        .output()
        .expect("the binary runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(!text.contains("hunter2"), "{text}");
    let line = |key: &str| {
        text.lines()
            .find(|l| l.trim_start().starts_with(&format!("{key}:")))
            .unwrap_or_default()
    };
    assert!(
        line("header_timeout").contains("3s") && line("header_timeout").contains("gateway.yaml:2"),
        "{text}"
    );
    assert!(
        line("namespace").contains("prod") && line("namespace").contains("NACOS_NAMESPACE"),
        "{text}"
    );
    assert!(
        line("level").contains("debug") && line("level").contains("LOG_LEVEL"),
        "{text}"
    );
    assert!(
        line("hold").contains("30s") && line("hold").contains("default"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn environment_variables_override_the_file() {
    let world = World::new().await;
    let upstream = Upstream::start("one");
    let _registered = world.register("user-service", upstream.address()).await;
    world.publish("routes: { /env/**: user-service }").await;
    // The file points at a server that is not there; the environment knows better.
    let settings = world
        .settings("")
        .replace(&world.http().to_string(), "127.0.0.1:1");
    let server = world.http().to_string();
    let gateway = Gateway::start_with(&settings, &[], &[("NACOS_SERVER_ADDR", &server)])
        .await
        .ready()
        .await;
    until_status(&gateway.url("/env/x"), 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commented_example_serves() {
    let example =
        std::fs::read_to_string(Path::new(REPOSITORY).join("gateway.yaml")).expect("gateway.yaml");
    let world = World::new().await;
    let upstream = Upstream::start("one");
    let _registered = world.register("user-service", upstream.address()).await;
    world
        .publish("routes: { /api/users/**: user-service }")
        .await;
    // The file as it is; only the ports are moved, as its own text says one may.
    let settings = world.settings("");
    let port = |key: &str| {
        settings
            .split(key)
            .nth(1)
            .and_then(|rest| rest.split(['\n', '}']).next())
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let server = world.http().to_string();
    let grpc = port("grpc_port:");
    let gateway = Gateway::start_with(
        &example,
        &[],
        &[
            ("PAILOU_LISTENERS", "127.0.0.1:0"),
            ("PAILOU_ADMIN_ADDRESS", "127.0.0.1:0"),
            ("PAILOU_PROBES_ADDRESS", "127.0.0.1:0"),
            ("PAILOU_NACOS_SERVERS", &server),
            ("PAILOU_NACOS_GRPC_PORT", &grpc),
        ],
    )
    .await
    .ready()
    .await;
    until_status(&gateway.url("/api/users/1"), 200).await;
}

/// The gateway took connections and answered none, and its log did not say what was missing.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_route_document_requests_are_answered_and_the_log_names_the_cure() {
    let world = World::new().await;
    let more = "routes: [{ data_id: edge.yaml, group: EDGE, namespace: dev }]\n";
    let gateway = world.gateway_with(more).await;
    gateway
        .logged(&[
            "WARN",
            "there is no route document yet",
            "\"group\":\"EDGE\"",
            "\"namespace\":\"dev\"",
            "pailou nacos config publish edge.yaml ROUTES.yaml --group EDGE --namespace dev",
        ])
        .await;
    let began = Instant::now();
    let answer = reqwest::get(gateway.url("/api/users/1"))
        .await
        .expect("an answer");
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let problem: serde_json::Value = answer.json().await.expect("JSON");
    assert_eq!(problem["cause"], "no_table", "{problem}");
    let ready = reqwest::get(gateway.probes_url("/readyz"))
        .await
        .expect("an answer");
    assert_eq!(ready.status(), 503);

    // The command that the log named.
    std::fs::write(
        gateway.folder().join("ROUTES.yaml"),
        "routes: { /api/**: user-service }\n",
    )
    .expect("a written file");
    let publish = [
        "nacos",
        "config",
        "publish",
        "edge.yaml",
        "ROUTES.yaml",
        "--group",
        "EDGE",
        "--namespace",
        "dev",
    ];
    let (status, out, err) = run(&publish, &gateway.folder());
    assert!(status.success(), "{out}{err}");
    let gateway = gateway.ready().await;
    until_status(&gateway.url("/other"), 404).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_nacos_down_and_no_snapshot_requests_are_answered_at_once() {
    let mut world = World::new().await;
    world.kill_registry().await;
    let gateway = world.gateway().await;
    let began = Instant::now();
    until_status(&gateway.url("/api/users/1"), 503).await;
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
}

/// Answers every connection with something that is no gRPC.
async fn somebody_else(at: std::net::SocketAddr) {
    let listener = tokio::net::TcpListener::bind(at).await.expect("the port");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await;
        }
    });
}

/// The first reason was told of for a minute, whatever came after it.
#[tokio::test(flavor = "multi_thread")]
async fn another_reason_of_an_outage_is_told_of_at_once() {
    let mut world = World::new().await;
    let grpc = world.grpc();
    world.kill_registry().await;
    let gateway = world.gateway().await;
    let first = gateway.logged(&["WARN", "Nacos cannot be reached"]).await;
    assert!(!first.contains("does not speak"), "{first}");
    somebody_else(grpc).await;
    // Half a minute at most.
    let pieces = [
        "WARN",
        "Nacos cannot be reached",
        "does not speak Nacos's gRPC",
    ];
    gateway.logged(&pieces).await;
}

/// Another server had taken the port: neither the log nor `/readyz` said which port, or what to do.
#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_port_that_somebody_else_has_is_named() {
    let mut world = World::new().await;
    let grpc = world.grpc();
    world.kill_registry().await;
    somebody_else(grpc).await;
    let gateway = world.gateway().await;
    let port = grpc.port().to_string();
    gateway
        .logged(&[
            "WARN",
            "Nacos cannot be reached",
            &port,
            "does not speak Nacos's gRPC",
            "pailou doctor",
        ])
        .await;
    until("/readyz to name the port", async || {
        let answer = reqwest::get(gateway.probes_url("/readyz")).await.ok()?;
        let said = answer.text().await.ok()?;
        (said.contains(&port) && said.contains("pailou doctor")).then_some(())
    })
    .await;
    // Each reason is told once, however often it is tried. How the other server's connection ended can be seen in two ways.
    let log = gateway.log();
    let mut told: Vec<serde_json::Value> = log
        .iter()
        .filter(|line| line.contains("does not speak Nacos's gRPC") && line.contains("WARN"))
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["error"].take())
        .collect();
    assert!((1..=2).contains(&told.len()), "{told:?}");
    let lines = told.len();
    told.dedup();
    assert_eq!(told.len(), lines, "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_document_that_is_bad_is_not_said_to_have_a_good_version() {
    let world = World::new().await;
    world.publish("routes: { /a/**: { servce: a } }").await;
    let gateway = world.gateway().await;
    let line = gateway
        .logged(&["ERROR", "a route document was refused"])
        .await;
    assert!(
        line.contains("there is no good version of it yet"),
        "{line}"
    );
    until_status(&gateway.url("/a/1"), 503).await;
    world.publish("routes: { /a/**: a }").await;
    let gateway = gateway.ready().await;
    world
        .publish("spring: { cloud: { gateway: { roots: [] } } }")
        .await;
    gateway
        .logged(&[
            "ERROR",
            "its last good version stays",
            "`routes` is missing",
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_yaml_of_the_folder_is_read_and_one_line_says_what_is_started() {
    let world = World::new().await;
    world.publish("routes: {}").await;
    let folder = TempDir::new().expect("a folder");
    let probes = format!("127.0.0.1:{}", free_port());
    let settings = world.settings("").replace(
        "probes: { address: '127.0.0.1:0' }",
        &format!("probes: {{ address: '{probes}' }}"),
    );
    std::fs::write(folder.path().join("gateway.yaml"), settings).expect("a written file");
    let mut command = command(&["run"]);
    command.current_dir(folder.path());
    let mut gateway = Process::spawn("the gateway", &mut command);
    until_status(&format!("http://{probes}/readyz"), 200).await;
    let line = gateway.said(&["INFO", "pailou starts"]).await;
    let nacos = format!("\"nacos\":\"{}\"", world.http());
    for piece in [
        concat!("\"version\":\"", env!("CARGO_PKG_VERSION")),
        "\"settings\":\"gateway.yaml\"",
        "\"listeners\":\"127.0.0.1:0\"",
        &*nacos,
        "\"namespace\":\"\"",
        "\"documents\":\"DEFAULT_GROUP/pailou-routes.yaml\"",
    ] {
        assert!(line.contains(piece), "{piece}: {line}");
    }
    // The same file tells `health` where to ask.
    let (status, out, err) = run(&["health"], folder.path());
    assert!(status.success(), "{out}{err}");
    let by_name = probes.replace("127.0.0.1", "localhost");
    for args in [
        &["health", "--config", "gateway.yaml"][..],
        &["health", "--address", &by_name],
    ] {
        let (status, out, err) = run(args, folder.path());
        assert!(status.success(), "{args:?}: {out}{err}");
    }
    let (status, _, err) = run(
        &["health", "--address", "no-such-host.invalid:1"],
        folder.path(),
    );
    assert!(
        !status.success() && err.contains("no-such-host.invalid"),
        "{err}"
    );
}

#[test]
fn help_teaches_every_command() {
    let folder = TempDir::new().expect("a folder");
    let (status, text, _) = run(&["--help"], folder.path());
    assert!(status.success());
    for command in ["run", "dev", "registry", "check", "health"] {
        assert!(text.contains(command), "{text}");
        let (status, help, _) = run(&[command, "--help"], folder.path());
        assert!(status.success() && help.len() > 200, "{help}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_asks_a_running_gateway() {
    let (_world, _upstream, _registered, gateway) = World::small().await;
    let address = gateway
        .probes_url("")
        .trim_start_matches("http://")
        .to_owned();
    let (status, out, err) = run(&["health", "--address", &address], &gateway.folder());
    assert!(status.success(), "{out}{err}");
    let (status, _, err) = run(&["health", "--address", "127.0.0.1:1"], &gateway.folder());
    assert!(!status.success());
    assert!(err.contains("127.0.0.1:1"), "{err}");
}

/// Runs `pailou run --print-config` with these variables: whether it succeeded, standard output, standard error.
fn print_config(settings: &str, variables: &[(&str, &str)]) -> (bool, String, String) {
    let folder = TempDir::new().expect("a folder");
    std::fs::write(folder.path().join("gateway.yaml"), settings).expect("a written file");
    std::fs::write(folder.path().join("password"), "hunter2\n").expect("a written file");
    let output = command(&["run", "--config", "gateway.yaml", "--print-config"])
        .current_dir(folder.path())
        .envs(variables.iter().copied())
        .output()
        .expect("the binary runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.success(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn a_password_is_never_printed_wherever_it_comes_from() {
    for (settings, variables) in [
        ("nacos: { username: nacos, password: hunter2 }", &[][..]),
        ("nacos: { username: nacos, password_file: password }", &[]),
        (
            "nacos: { username: nacos }",
            &[("NACOS_PASSWORD", "hunter2")],
        ),
        (
            "nacos: { username: nacos }",
            &[("PAILOU_NACOS_PASSWORD", "hunter2")],
        ),
        // Not even in what is wrong with it.
        ("nacos: { password: hunter2 }", &[]),
        ("nacos: { username: nacos, password: [hunter2] }", &[]),
        ("nacos: { username: nacos, pasword: hunter2 }", &[]),
        (
            "nacos: { username: nacos, password: hunter2 }",
            &[("PAILOU_NACOS_PASSWORDS", "hunter2")],
        ),
        ("nacos: { username: nacos, password: hunter2 }: {", &[]),
    ] {
        let (_, out, err) = print_config(settings, variables);
        assert!(
            !format!("{out}{err}").contains("hunter2"),
            "{settings} {variables:?}:\n{out}{err}"
        );
    }
}

#[test]
fn a_variable_that_sets_nothing_is_warned_of() {
    let (success, _, err) = print_config("", &[("PAILOU_NACOS_SERVRES", "x")]);
    assert!(success, "a warning keeps nobody from starting: {err}");
    for piece in [
        "warning",
        "PAILOU_NACOS_SERVRES",
        "did you mean `PAILOU_NACOS_SERVERS`?",
    ] {
        assert!(err.contains(piece), "{err}");
    }
    let kubernetes = [
        ("NACOS_SERVICE_HOST", "10.0.0.1"),
        ("NACOS_SERVICE_PORT", "8848"),
    ];
    let (success, out, err) = print_config("", &kubernetes);
    assert!(
        success && err.contains("NACOS_SERVICE_PORT: ignored"),
        "{err}"
    );
    assert!(!out.contains("8848  #") || out.contains("servers"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doubtful_variable_is_in_the_log_of_a_gateway_that_runs() {
    let world = World::new().await;
    let variables = [("PAILOU_WORKRES", "2")];
    let gateway = Gateway::start_with(&world.settings(""), &[], &variables).await;
    gateway
        .logged(&["WARN", "PAILOU_WORKRES", "PAILOU_WORKERS"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn log_level_is_honoured() {
    let world = World::new().await;
    world
        .publish("routes: { /api/users/**: user-service }")
        .await;
    let debug = Gateway::start_with(&world.settings(""), &[], &[("LOG_LEVEL", "debug")])
        .await
        .ready()
        .await;
    debug.logged(&["\"level\":\"DEBUG\""]).await;

    // At `warn` it does not say where it listens, so that is told it.
    let probes = format!("127.0.0.1:{}", free_port());
    let mut command = command(&["run", "--config", "gateway.yaml"]);
    let folder = TempDir::new().expect("a folder");
    std::fs::write(folder.path().join("gateway.yaml"), world.settings("")).expect("a written file");
    command
        .current_dir(folder.path())
        .env("LOG_LEVEL", "warn")
        .env("PAILOU_PROBES_ADDRESS", &probes);
    let mut quiet = Process::spawn("the quiet gateway", &mut command);
    until_status(&format!("http://{probes}/readyz"), 200).await;
    quiet.signal("-TERM");
    assert!(quiet.exited().await.success());
    assert!(
        quiet.log().iter().all(|line| !line.contains("INFO")),
        "{:#?}",
        quiet.log()
    );

    let folder = TempDir::new().expect("a folder");
    let output = self::command(&["run"])
        .current_dir(folder.path())
        .env("LOG_LEVEL", "loud")
        .output();
    let said = String::from_utf8_lossy(&output.expect("the binary runs").stderr).into_owned();
    assert!(
        said.contains("LOG_LEVEL: `loud`") && said.contains("debug"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn admin_and_probes_can_be_off() {
    let world = World::new().await;
    world.publish("routes: {}").await;
    let data = format!("127.0.0.1:{}", free_port());
    let folder = TempDir::new().expect("a folder");
    std::fs::write(folder.path().join("gateway.yaml"), world.settings("")).expect("a written file");
    let mut command = command(&["run", "--config", "gateway.yaml"]);
    command
        .current_dir(folder.path())
        .env("PAILOU_LISTENERS", &data)
        .env("PAILOU_ADMIN_ADDRESS", "off")
        .env("PAILOU_PROBES_ADDRESS", "off");
    let mut process = Process::spawn("the gateway", &mut command);
    until_status(&format!("http://{data}/x"), 404).await;
    assert!(process.find(&["\"listener\":\"data\""]).is_some());
    for listener in ["admin", "probes"] {
        assert_eq!(process.find(&["listening", listener]), None);
    }
    process.signal("-TERM");
    assert!(process.exited().await.success());
}
