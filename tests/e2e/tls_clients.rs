//! Clients that show a certificate, and clients that come again.

use tokio::io::AsyncWriteExt;
use tokio_rustls::rustls::HandshakeKind;

use crate::support::authority::Authority;
use crate::support::tls_client::{TlsClient, ask};
use crate::support::until;
use crate::support::world::World;

const FORGED: &str = "GET /api/users/headers HTTP/1.1\r\nhost: shop.example\r\n\
                      X-Client-Cert-Subject: CN=admin\r\nx-client-cert-san: DNS:admin\r\n\
                      x_client_cert_subject: CN=admin\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn the_endpoint_is_told_who_the_client_is_and_no_client_can_forge_it() {
    let (authority, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    authority.issue("shop", &["shop.example"]);
    clients.issue_client("alice", "alice", "spiffe://shop/alice");
    strangers.issue_client("mallory", "alice", "spiffe://shop/alice");
    let tls = |auth: &str| {
        let ca = clients.file();
        let (pair, ca) = (authority.pair("shop"), ca.display());
        format!("tls: {{ certificates: {pair}, client_auth: {auth}, client_ca: {ca} }}")
    };
    let (required, optional) = (tls("required"), tls("optional"));
    let off = format!("tls: {{ certificates: {} }}", authority.pair("shop"));
    let plain = "proxy_protocol: off";
    let (_world, _upstream, _registered, gateway) =
        World::small_with_listeners(&[&required, &optional, &off, plain], "").await;
    let addresses = gateway.data_listeners().await;

    let unknown = TlsClient::new(&authority.file());
    let client = |folder: &Authority, file: &str| {
        let (cert, key) = folder.files(file);
        TlsClient::known(&authority.file(), &cert, &key)
    };
    let alice = client(&clients, "alice");
    let mallory = client(&strangers, "mallory");
    for (listener, client, is_known) in [
        (0, &alice, true),
        // A resumed session knows its client too.
        (0, &alice, true),
        (1, &alice, true),
        (1, &unknown, false),
        (2, &alice, false),
        (2, &unknown, false),
    ] {
        let mut stream = client
            .connect(addresses[listener], "shop.example")
            .await
            .expect("a connection");
        let told = ask(&mut stream, FORGED.as_bytes())
            .await
            .expect("an answer");
        let expected = |text: &str| is_known.then(|| text.to_owned());
        assert_eq!(
            told.got("x-client-cert-subject"),
            expected("CN=alice,O=Shop"),
            "{listener}"
        );
        assert_eq!(
            told.got("x-client-cert-san"),
            expected("URI:spiffe://shop/alice"),
            "{listener}"
        );
        assert_eq!(told.got("x_client_cert_subject"), None);
    }
    let mut socket = tokio::net::TcpStream::connect(addresses[3])
        .await
        .expect("accepted");
    let told = ask(&mut socket, FORGED.as_bytes())
        .await
        .expect("an answer");
    assert_eq!(told.got("x-client-cert-subject"), None);
    assert_eq!(told.got("x-client-cert-san"), None);

    // In TLS 1.3 a client learns of its refusal when it reads.
    for (listener, client) in [(0, &unknown), (0, &mallory), (1, &mallory)] {
        let told = client
            .get(addresses[listener], "shop.example", "/api/users/1")
            .await;
        assert!(told.is_err(), "{listener}: {told:?}");
    }
    until("the failed handshakes", async || {
        let metrics = gateway.metrics().await;
        metrics
            .contains(r#"reason="tls_handshake"} 3"#)
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_certificate_was_revoked_is_refused_while_others_go_on() {
    let (authority, clients) = (Authority::new(), Authority::new());
    authority.issue("shop", &["shop.example"]);
    for name in ["alice", "bob"] {
        clients.issue_client(name, name, "spiffe://shop/x");
    }
    let (pair, ca, list) = (authority.pair("shop"), clients.file(), clients.revoke(&[]));
    let tls = format!(
        "tls: {{ certificates: {pair}, client_auth: required, client_ca: {}, client_crl: {} }}",
        ca.display(),
        list.display()
    );
    let (_world, _upstream, _registered, gateway) = World::small_with_listeners(&[&tls], "").await;
    let address = gateway.data_listeners().await[0];
    let [alice, bob] = ["alice", "bob"].map(|name| {
        let (cert, key) = clients.files(name);
        TlsClient::known(&authority.file(), &cert, &key)
    });
    let get = async |client: &TlsClient| client.get(address, "shop.example", "/api/users/1").await;
    for client in [&alice, &bob] {
        assert_eq!(get(client).await.expect("an answer").status, 200);
    }

    clients.revoke(&["bob"]);
    // Bob has a session that could be resumed. It ends with the list that it began by.
    until("bob is refused", async || {
        get(&bob).await.is_err().then_some(())
    })
    .await;
    assert_eq!(get(&alice).await.expect("an answer").status, 200);

    std::fs::write(&list, "nonsense").expect("a file");
    until("the bad list is refused", async || {
        let metrics = gateway.metrics().await;
        metrics
            .contains("pailou_certificate_refusals_total 1")
            .then_some(())
    })
    .await;
    assert!(get(&bob).await.is_err());
    assert_eq!(get(&alice).await.expect("an answer").status, 200);
}

/// A session of a listener that asks for nothing is no way into one that asks.
#[tokio::test(flavor = "multi_thread")]
async fn no_session_goes_on_where_clients_are_asked_for_more() {
    let (authority, clients) = (Authority::new(), Authority::new());
    authority.issue("shop", &["shop.example"]);
    let pair = authority.pair("shop");
    let off = format!("tls: {{ certificates: {pair} }}");
    let ca = clients.file();
    let required = format!(
        "tls: {{ certificates: {pair}, client_auth: required, client_ca: {} }}",
        ca.display()
    );
    let (_world, _upstream, _registered, gateway) =
        World::small_with_listeners(&[&off, &off, &required], "").await;
    let addresses = gateway.data_listeners().await;
    for client in [
        TlsClient::new(&authority.file()),
        TlsClient::old(&authority.file()),
    ] {
        let told = client
            .get(addresses[0], "shop.example", "/api/users/1")
            .await;
        assert_eq!(told.expect("an answer").status, 200);
        let told = client
            .get(addresses[2], "shop.example", "/api/users/1")
            .await;
        assert!(told.is_err(), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_resumed_in_both_versions_and_on_every_listener() {
    let authority = Authority::new();
    authority.issue("shop", &["shop.example"]);
    let tls = format!("tls: {{ certificates: {} }}", authority.pair("shop"));
    let (_world, _upstream, _registered, gateway) =
        World::small_with_listeners(&[&tls, &tls], "").await;
    let addresses = gateway.data_listeners().await;
    for (client, version) in [
        (TlsClient::new(&authority.file()), "1.3"),
        (TlsClient::old(&authority.file()), "1.2"),
    ] {
        for (listener, kind) in [
            (0, HandshakeKind::Full),
            (0, HandshakeKind::Resumed),
            (1, HandshakeKind::Resumed),
        ] {
            let mut stream = client
                .connect(addresses[listener], "shop.example")
                .await
                .expect("a connection");
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(kind), "{version}");
            // A ticket of TLS 1.3 comes behind the handshake.
            let head = "GET /api/users/1 HTTP/1.1\r\nhost: shop.example\r\n\r\n";
            let told = ask(&mut stream, head.as_bytes()).await.expect("an answer");
            assert_eq!(told.status, 200);
            let _ = stream.shutdown().await;
        }
        let metrics = gateway.metrics().await;
        for (resumed, count) in [("false", 1), ("true", 2)] {
            let series = format!(
                "pailou_tls_handshakes_total{{version=\"{version}\",resumed=\"{resumed}\"}} {count}"
            );
            assert!(metrics.contains(&series), "{series}: {metrics}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_version_is_refused_where_it_is_not_wanted() {
    let authority = Authority::new();
    authority.issue("shop", &["shop.example"]);
    let tls = format!(
        "tls: {{ certificates: {}, min_version: 1.3 }}",
        authority.pair("shop")
    );
    let (_world, _upstream, _registered, gateway) = World::small_with_listeners(&[&tls], "").await;
    let get = async |client: TlsClient| {
        let told = client.get(gateway.data(), "shop.example", "/api/users/1");
        told.await.map(|told| told.status)
    };
    let error = get(TlsClient::old(&authority.file())).await;
    let error = error.expect_err("TLS 1.2 is refused").to_string();
    assert!(error.contains("ProtocolVersion"), "{error}");
    let status = get(TlsClient::new(&authority.file())).await;
    assert_eq!(status.expect("an answer"), 200);
}
