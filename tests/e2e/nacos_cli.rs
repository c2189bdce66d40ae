//! `pailou nacos …`: configs and services from the command line.

use std::io::Write as _;
use std::process::{Output, Stdio};

use pailou_nacos_lite::{ConfigKey, Instance, Options, Registry, ServiceKey};
use serde_json::Value;

use crate::support::gateway::command;
use crate::support::process::Process;
use crate::support::until;

/// A Nacos and the command line that is pointed at it.
struct Shell {
    registry: Registry,
}

impl Shell {
    async fn start() -> Shell {
        Shell::with(Options::default()).await
    }

    async fn with(options: Options) -> Shell {
        let registry = Registry::start(options).await.expect("a Nacos");
        Shell { registry }
    }

    fn command(&self, line: &str) -> std::process::Command {
        let mut args = vec!["nacos"];
        args.extend(line.split_whitespace());
        let mut command = command(&args);
        command
            .env("NACOS_SERVER_ADDR", self.registry.http_addr().to_string())
            .env(
                "PAILOU_NACOS_GRPC_PORT",
                self.registry.grpc_addr().port().to_string(),
            );
        command
    }

    /// Runs a command to its end, with this on standard input.
    async fn run_with(&self, line: &str, input: &str) -> Output {
        let (mut command, input) = (self.command(line), input.to_owned());
        let run = move || {
            let mut child = command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("the binary runs");
            // A command that reads no input may be gone already.
            let _ = child
                .stdin
                .take()
                .expect("a pipe")
                .write_all(input.as_bytes());
            child.wait_with_output().expect("the binary ends")
        };
        tokio::task::spawn_blocking(run).await.expect("a run")
    }

    async fn run(&self, line: &str) -> Output {
        self.run_with(line, "").await
    }

    /// Runs a command that succeeds and returns what it printed.
    async fn out(&self, line: &str) -> String {
        let output = self.run(line).await;
        assert!(output.status.success(), "{line}: {}", err(&output));
        String::from_utf8(output.stdout).expect("text")
    }

    /// The same as JSON.
    async fn json(&self, line: &str) -> Value {
        let out = self.out(&format!("{line} --json")).await;
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{line}: {error}: {out}"))
    }

    /// Runs a command that fails and returns what it said.
    async fn refused(&self, line: &str, input: &str) -> String {
        let output = self.run_with(line, input).await;
        assert_eq!(output.status.code(), Some(1), "{line}: {}", err(&output));
        err(&output)
    }
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_is_published_read_and_removed() {
    let shell = Shell::start().await;
    let said = shell.refused("config get app.yaml", "").await;
    assert!(
        said.contains("no config app.yaml in group DEFAULT_GROUP"),
        "{said}"
    );

    let content = "a: 1\n# no line break at the end";
    let published = shell.run_with("config publish app.yaml", content).await;
    assert!(published.status.success(), "{}", err(&published));
    assert_eq!(shell.registry.config("app.yaml").as_deref(), Some(content));
    assert_eq!(
        shell.out("config get app.yaml").await,
        content,
        "byte for byte"
    );
    let json = shell.json("config get app.yaml").await;
    assert_eq!(
        (&json["content"], &json["type"]),
        (&content.into(), &"yaml".into())
    );

    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("app.properties");
    std::fs::write(&file, "b=2").expect("a file");
    let line = format!(
        "config publish app.properties {} -n dev -g shop",
        file.display()
    );
    shell.out(&line).await;
    let key = ConfigKey::new("dev", "shop", "app.properties");
    assert_eq!(shell.registry.config(key).as_deref(), Some("b=2"));

    shell.out("config remove app.yaml").await;
    assert_eq!(shell.registry.config("app.yaml"), None);
    shell.refused("config remove app.yaml", "").await;
    let said = shell
        .refused("config publish app.yaml nowhere.yaml", "")
        .await;
    assert!(said.contains("nowhere.yaml"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_is_replaced_only_if_it_is_the_expected_one() {
    let shell = Shell::start().await;
    shell
        .refused("config publish a.yaml --if-md5 00", "a: 1")
        .await;
    assert_eq!(
        shell.registry.config("a.yaml"),
        None,
        "there was nothing to replace"
    );
    shell.registry.publish_config("a.yaml", "a: 1");
    let md5 = shell.json("config get a.yaml").await["md5"]
        .as_str()
        .expect("an MD5")
        .to_owned();
    let said = shell
        .refused("config publish a.yaml --if-md5 00", "a: 2")
        .await;
    assert!(said.contains(&md5), "{said}");
    let line = format!("config publish a.yaml --if-md5 {}", md5.to_uppercase());
    let done = shell.run_with(&line, "a: 2").await;
    assert!(done.status.success(), "{}", err(&done));
    assert_eq!(shell.registry.config("a.yaml").as_deref(), Some("a: 2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_route_document_is_published_by_force_only() {
    let shell = Shell::start().await;
    let bad = "routes: { /a/**: { servce: a } }";
    for data_id in ["pailou-routes.yaml", "team.yaml"] {
        let said = shell
            .refused(&format!("config publish {data_id}"), bad)
            .await;
        assert!(
            said.contains("did you mean `service`?") && said.contains("--force"),
            "{said}"
        );
        assert_eq!(shell.registry.config(data_id), None);
    }
    let forced = shell
        .run_with("config publish team.yaml --force", bad)
        .await;
    assert!(forced.status.success());
    assert!(err(&forced).contains("warning"), "{}", err(&forced));
    assert_eq!(shell.registry.config("team.yaml").as_deref(), Some(bad));
    let good = "routes: { /a/**: a }";
    let done = shell
        .run_with("config publish pailou-routes.yaml -", good)
        .await;
    assert!(done.status.success(), "{}", err(&done));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_tells_each_change_and_its_content() {
    let shell = Shell::start().await;
    for content in ["a: 1", "a: 2"] {
        shell.registry.publish_config("a.yaml", content);
    }
    let changes = shell.json("config history a.yaml").await;
    assert_eq!(
        [&changes[0]["operation"], &changes[1]["operation"]],
        ["update", "insert"],
        "{changes}"
    );
    let id = changes[0]["id"].as_str().expect("an id");
    let out = shell.out(&format!("config history a.yaml --id {id}")).await;
    assert_eq!(out, "a: 1", "an update holds what it replaced");
    let text = shell.out("config history a.yaml").await;
    assert!(
        text.lines().count() == 2 && text.contains("insert"),
        "{text}"
    );
    let said = shell.refused("config history a.yaml --id 999", "").await;
    assert!(said.contains("no change 999"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_is_watched_line_by_line() {
    let shell = Shell::start().await;
    let mut watch = Process::spawn(
        "the watch",
        &mut shell.command("config watch a.yaml --json"),
    );
    watch.said(&["\"present\":false"]).await;
    shell.registry.publish_config("a.yaml", "a: 1");
    watch
        .said(&["\"present\":true", "\"content\":\"a: 1\""])
        .await;
    shell.registry.remove_config("a.yaml");
    until("the removal", async || {
        let absent = watch
            .out()
            .iter()
            .filter(|line| line.contains("\"present\":false"))
            .count();
        (absent == 2).then_some(())
    })
    .await;
    watch.signal("-INT");
    assert!(watch.exited().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn services_are_listed_and_shown() {
    let shell = Shell::start().await;
    for name in ["a", "b", "c"] {
        shell
            .registry
            .put_instance(name, Instance::new("10.0.0.1", 80));
    }
    shell.registry.put_instance(
        ServiceKey::new("dev", "shop", "d"),
        Instance::new("10.0.0.2", 80),
    );
    assert_eq!(shell.out("service list").await, "a\nb\nc\n");
    assert_eq!(
        shell.out("service list --size 1").await,
        "a\nb\nc\n",
        "all pages"
    );
    assert_eq!(shell.out("service list --page 2 --size 2").await, "c\n");
    let json = shell.json("service list -n dev -g shop").await;
    assert_eq!(
        (&json["total"], &json["services"][0]),
        (&1.into(), &"d".into())
    );

    let shown = shell.out("service show a").await;
    assert!(shown.starts_with("10.0.0.1:80 weight 1 healthy"), "{shown}");
    let json = shell.json("service show shop@@d -n dev").await;
    assert_eq!(json["instances"][0]["ip"], "10.0.0.2", "{json}");
    let said = shell.refused("service show nobody", "").await;
    assert!(said.contains("DEFAULT_GROUP@@nobody"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_stays_registered_until_the_command_ends() {
    let shell = Shell::start().await;
    let mut watch = Process::spawn(
        "the watch",
        &mut shell.command("service watch user-service"),
    );
    watch.said(&["DEFAULT_GROUP@@user-service 0:"]).await;
    let line = "service register user-service --ip 10.0.0.7 --port 8080 --weight 2 --metadata zone=a --metadata v=1=2";
    let mut register = Process::spawn("the registration", &mut shell.command(line));
    register.said(&["until this command ends"]).await;
    let registered = shell.registry.instances("user-service");
    let metadata: Vec<_> = registered[0].metadata.iter().collect();
    assert_eq!(registered[0].weight, 2.0);
    assert_eq!(format!("{metadata:?}"), r#"[("v", "1=2"), ("zone", "a")]"#);
    watch
        .said(&["user-service 1: 10.0.0.7:8080 weight 2 healthy DEFAULT v=1=2 zone=a"])
        .await;

    // It belongs to the connection of that command.
    let line = "service deregister user-service --ip 10.0.0.7 --port 8080";
    let said = shell.refused(line, "").await;
    assert!(said.contains("its owner keeps it registered"), "{said}");

    register.signal("-INT");
    assert!(register.exited().await.success());
    assert!(shell.registry.instances("user-service").is_empty());
    let gone = async || {
        let lines = watch.out();
        (lines.len() == 3 && lines[2].contains("user-service 0:")).then_some(())
    };
    until("the watch to see it go", gone).await;
    watch.signal("-TERM");
    assert!(watch.exited().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_registered_over_http_is_removed() {
    let shell = Shell::start().await;
    let url = format!(
        "http://{}/nacos/v1/ns/instance?serviceName=s&ip=10.0.0.7&port=80",
        shell.registry.http_addr()
    );
    reqwest::Client::new()
        .post(url)
        .send()
        .await
        .expect("an answer");
    assert_eq!(shell.registry.instances("s").len(), 1);
    shell
        .out("service deregister s --ip 10.0.0.7 --port 80")
        .await;
    assert!(shell.registry.instances("s").is_empty());
    shell
        .refused("service deregister s --ip 10.0.0.7 --port 80", "")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_a_command_says_so_and_ends() {
    let shell = Shell::start().await;
    shell.registry.faults().refuse_connections(true);
    until("the port to close", async || {
        let connected = tokio::net::TcpStream::connect(shell.registry.grpc_addr()).await;
        connected.is_err().then_some(())
    })
    .await;
    for line in [
        "config get a",
        "service list",
        "config watch a",
        "config history a",
    ] {
        let said = shell.refused(line, "").await;
        let expected = "pailou: not connected to Nacos: ";
        assert!(said.starts_with(expected), "{line}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_grpc_is_blocked_everything_goes_over_http() {
    for v1 in [true, false] {
        let shell = Shell::with(Options {
            block_grpc: true,
            v1,
            ..Options::default()
        })
        .await;
        let published = shell.run_with("config publish a.yaml", "a: 1").await;
        assert!(published.status.success(), "{}", err(&published));
        assert_eq!(shell.out("config get a.yaml").await, "a: 1");
        let line = "service register s --ip 10.0.0.7 --port 80";
        let mut register = Process::spawn("the registration", &mut shell.command(line));
        register.said(&["registered 10.0.0.7:80"]).await;
        let shown = shell.out("service show s").await;
        assert!(shown.starts_with("10.0.0.7:80 "), "{shown}");
        register.signal("-TERM");
        assert!(register.exited().await.success());
        shell.refused("service show s", "").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_cluster_is_chosen_by_its_id() {
    let shell = Shell::start().await;
    let east = Registry::start(Options::default()).await.expect("another");
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("gateway.yaml");
    let (address, port) = (east.http_addr(), east.grpc_addr().port());
    let settings = format!(
        "other_nacos: {{ east: {{ servers: ['{address}'], grpc_port: {port}, group: shop }} }}\n\
         routes: [ {{ data_id: east.yaml, nacos: east }} ]\n"
    );
    std::fs::write(&file, settings).expect("a file");
    let config = format!("--config {}", file.display());

    let publish = format!("config publish app.yaml {config} --nacos east");
    let published = shell.run_with(&publish, "a: 1").await;
    assert!(published.status.success(), "{}", err(&published));
    let key = ConfigKey::new("", "shop", "app.yaml");
    assert_eq!(east.config(key).as_deref(), Some("a: 1"));
    assert_eq!(shell.registry.config("app.yaml"), None);

    // What the settings read from there is judged as routes; in the other cluster it is any config.
    let publish = format!("config publish east.yaml {config}");
    let said = shell
        .refused(&format!("{publish} --nacos east"), "nonsense: 1")
        .await;
    assert!(said.contains("nonsense"), "{said}");
    let published = shell.run_with(&publish, "nonsense: 1").await;
    assert!(published.status.success(), "{}", err(&published));

    let said = shell
        .refused(&format!("service list {config} --nacos west"), "")
        .await;
    assert!(said.contains("`west`"), "{said}");
    assert!(said.contains("default, east"), "{said}");
}
