//! Certificate files that change while the gateway serves, and what is said of them.

use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;

use crate::support::authority::Authority;
use crate::support::gateway::{Gateway, run};
use crate::support::tls_client::{TlsClient, ask};
use crate::support::until;
use crate::support::world::World;

const GET: &[u8] = b"GET /api/users/1 HTTP/1.1\r\nhost: shop.example\r\n\r\n";

async fn until_served_by(client: &TlsClient, gateway: &Gateway, host: &str) {
    until(&format!("a certificate for {host}"), async || {
        client.get(gateway.data(), host, "/api/users/1").await.ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_certificate_is_used_and_a_bad_one_is_told_and_not_used() {
    let authority = Authority::new();
    authority.issue_for("shop", &["shop.example"], 10);
    let tls = format!("tls: {{ certificates: {} }}", authority.pair("shop"));
    let (_world, _upstream, _registered, gateway) = World::small_with_listeners(&[&tls], "").await;
    let client = TlsClient::new(&authority.file());
    let mut open = client
        .connect(gateway.data(), "shop.example")
        .await
        .expect("a connection");
    assert_eq!(ask(&mut open, GET).await.expect("an answer").status, 200);
    gateway
        .logged(&[
            "WARN",
            "shop.crt",
            "\"days_left\":10",
            "a certificate expires soon",
        ])
        .await;
    let certificate = authority.path("shop.crt").display().to_string();
    let series = |name: &str| format!("pailou_certificate_{name}{{certificate=\"{certificate}\"}}");
    let expiry = async || {
        let metrics = gateway.metrics().await;
        let series = series("expiry_timestamp_seconds");
        let line = metrics.lines().find(|line| line.starts_with(&series));
        let value = line.and_then(|line| line.rsplit(' ').next());
        value.expect(&metrics).parse::<u64>().expect("seconds")
    };
    let first = expiry().await;

    authority.issue("shop", &["shop.example", "new.example"]);
    until_served_by(&client, &gateway, "new.example").await;
    gateway
        .logged(&["INFO", "shop.crt", "a certificate was reloaded"])
        .await;
    assert!(expiry().await > first + 300 * 86_400);
    assert_eq!(
        ask(&mut open, GET).await.expect("an answer").status,
        200,
        "it is still open"
    );

    std::fs::write(authority.path("shop.crt"), "nonsense").expect("a file");
    gateway
        .logged(&[
            "ERROR",
            "shop.crt",
            "has no certificate in it",
            "the one before it stays",
        ])
        .await;
    let status = gateway
        .admin_until("the refusal", "/api/v1/status", |status| {
            status["certificates"][0]["refused"].is_string()
        })
        .await;
    assert_eq!(status["certificates"][0]["names"][0], "new.example");
    until_served_by(&client, &gateway, "new.example").await;
    until("the metric", async || {
        let refused = format!("{} 1", series("refused"));
        let metrics = gateway.metrics().await;
        metrics.contains(&refused).then_some(())
    })
    .await;
    assert!(
        gateway
            .metrics()
            .await
            .contains("pailou_certificate_refusals_total 1")
    );

    // Told once, and again to whoever asks.
    let told = || {
        let log = gateway.log();
        let lines = log.iter();
        lines
            .filter(|line| line.contains("the one before it stays"))
            .count()
    };
    assert_eq!(told(), 1);
    gateway.signal("-HUP");
    until("it to be told again", async || (told() == 2).then_some(())).await;

    authority.issue("shop", &["third.example"]);
    until_served_by(&client, &gateway, "third.example").await;
    assert_eq!(ask(&mut open, GET).await.expect("an answer").status, 200);
    assert_eq!(told(), 2);
}

/// Kubernetes mounts a secret as a folder of links, and swaps the folder behind them.
#[tokio::test(flavor = "multi_thread")]
async fn the_swap_of_a_mounted_secret_is_seen() {
    let (one, two) = (Authority::new(), Authority::new());
    one.issue("tls", &["shop.example"]);
    two.issue("tls", &["shop.example"]);
    let mount = TempDir::new().expect("a folder");
    let path = |name: &str| mount.path().join(name);
    let point = |to: &Path| {
        symlink(to, path("..data_tmp")).expect("a link");
        std::fs::rename(path("..data_tmp"), path("..data")).expect("a swap");
    };
    point(one.path("").as_path());
    for file in ["tls.crt", "tls.key"] {
        symlink(Path::new("..data").join(file), path(file)).expect("a link");
    }
    let (cert, key) = (path("tls.crt"), path("tls.key"));
    let tls = format!(
        "tls: {{ certificates: {{ cert: {}, key: {} }} }}",
        cert.display(),
        key.display()
    );
    let (_world, _upstream, _registered, gateway) = World::small_with_listeners(&[&tls], "").await;
    until_served_by(&TlsClient::new(&one.file()), &gateway, "shop.example").await;
    point(two.path("").as_path());
    until_served_by(&TlsClient::new(&two.file()), &gateway, "shop.example").await;
}

#[test]
fn check_and_the_start_name_every_flaw_with_its_file_and_cure() {
    let authority = Authority::new();
    authority.issue("good", &["good.example"]);
    authority.issue("other", &["other.example", "good.example"]);
    authority.issue("soon", &["soon.example"]);
    let (cert, _) = authority.files("good");
    let (_, other_key) = authority.files("other");
    let settings = |certificates: &str, more: &str| {
        format!(
            "listeners:\n  - address: 127.0.0.1:0\n    tls:\n      certificates:\n{certificates}{more}\
             routes: [{{ data_id: a.yaml }}]\n"
        )
    };
    let wrong = settings(
        &format!(
            "        - {{ cert: {}, key: {} }}\n        - {{ cert: missing.crt, key: {} }}\n",
            cert.display(),
            other_key.display(),
            other_key.display(),
        ),
        "      client_auth: required\n      client_ca: missing-ca.crt\n",
    );
    let folder = TempDir::new().expect("a folder");
    std::fs::write(folder.path().join("gateway.yaml"), &wrong).expect("a file");
    for args in [
        ["check", "gateway.yaml"].as_slice(),
        &["run", "--config", "gateway.yaml"],
    ] {
        let (status, out, err) = run(args, folder.path());
        let said = format!("{out}{err}");
        assert!(!status.success(), "{said}");
        for expected in [
            "gateway.yaml:5:11: listeners[0].tls.certificates[0]: ",
            "other.key is not the key of ",
            "gateway.yaml:6:11: listeners[0].tls.certificates[1]: ",
            "missing.crt cannot be read: No such file",
            "listeners[0].tls.client_ca: ",
            "missing-ca.crt cannot be read",
        ] {
            assert!(said.contains(expected), "{expected}: {said}");
        }
    }
    // What is doubtful is told, and served.
    let doubtful = settings(
        &format!(
            "        - {}\n        - {}\n",
            authority.pair("good"),
            authority.pair("other")
        ),
        "",
    );
    std::fs::write(folder.path().join("gateway.yaml"), &doubtful).expect("a file");
    let (status, out, err) = run(&["check", "gateway.yaml"], folder.path());
    assert!(status.success(), "{out}{err}");
    assert!(
        out.contains("warning") && out.contains("is for good.example as "),
        "{out}"
    );
}
