use std::time::{Duration, Instant};

use pailou_config::RouteSource;
use pailou_discovery::DocumentState;
use pailou_nacos_lite::Answer;

use crate::gateway::{Gateway, ROUTES, config, put, registry, until};

#[tokio::test]
async fn a_published_document_is_served_and_so_is_its_change() {
    let registry = registry().await;
    put(&registry, "users", 9001);
    registry.publish_config(ROUTES, "routes: { /users/**: users }");
    let gateway = Gateway::start(registry.http_addr(), |_| {});
    gateway.discovery.ready().await;
    assert_eq!(gateway.routes(), ["/users/**=users"]);
    assert!(
        gateway.answers("/users/**"),
        "the service was known before the swap"
    );
    let first = gateway.discovery.view().table;
    assert_eq!((first.revision, first.routes), (1, 1));

    registry.publish_config(ROUTES, "routes: { /users/**: users, /people/**: users }");
    gateway
        .until_routes(&["/people/**=users", "/users/**=users"])
        .await;
    until("the view follows", || {
        gateway.discovery.view().table.revision == 2
    })
    .await;
    assert_ne!(gateway.discovery.view().table.md5, first.md5);
    assert_eq!(gateway.document(0).revision, Some(2));
    gateway.discovery.stop().await;
}

#[tokio::test]
async fn a_document_that_is_not_there_yet_is_served_when_it_comes() {
    let registry = registry().await;
    let gateway = Gateway::start(registry.http_addr(), |_| {});
    gateway.until_state(0, DocumentState::Missing).await;
    until("the reason names the document", || {
        gateway
            .discovery
            .readiness()
            .borrow()
            .reason
            .contains(ROUTES)
    })
    .await;
    assert!(!gateway.discovery.view().readiness.ready);
    registry.publish_config(ROUTES, "routes: { /a/**: one }");
    gateway.discovery.ready().await;
    assert_eq!(gateway.routes(), ["/a/**=one"]);
    assert!(
        !gateway.answers("/a/**"),
        "a service that is known to be empty counts as known"
    );
}

#[tokio::test]
async fn bad_blank_and_deleted_documents_change_nothing_and_restoring_one_clears_the_alarm() {
    let registry = registry().await;
    let good = "routes: { /a/**: one }";
    registry.publish_config(ROUTES, good);
    let gateway = Gateway::start(registry.http_addr(), |_| {});
    gateway.discovery.ready().await;
    let steps = [
        ("routes: { /a/**: { servce: one } }", DocumentState::Refused),
        (
            "routes: { /b/**: one, b: { path: /b, service: s, filters: [ { nope: {} } ] } }",
            DocumentState::Refused,
        ),
        ("# nothing\n", DocumentState::Blank),
    ];
    for (text, state) in steps {
        registry.publish_config(ROUTES, text);
        gateway.until_state(0, state).await;
        let document = gateway.document(0);
        assert!(document.alarm && document.reason.is_some(), "{document:?}");
        assert_eq!(gateway.routes(), ["/a/**=one"]);
        registry.publish_config(ROUTES, good);
        gateway.until_state(0, DocumentState::Applied).await;
        assert!(!gateway.document(0).alarm);
    }
    registry.remove_config(ROUTES);
    gateway.until_state(0, DocumentState::Missing).await;
    assert_eq!(gateway.routes(), ["/a/**=one"]);
    assert_eq!(
        gateway.discovery.view().table.revision,
        1,
        "nothing of this was published"
    );
    let metrics = gateway.metrics.render();
    assert!(
        metrics.contains("pailou_documents{state=\"missing\"} 1"),
        "{metrics}"
    );
    assert!(
        metrics.contains("pailou_document_refusals_total 2"),
        "{metrics}"
    );

    registry.publish_config(ROUTES, "routes: {}");
    gateway.until_routes(&[]).await;
    // The table is live a moment before the view tells of it.
    until("the alarm is over", || !gateway.document(0).alarm).await;
}

#[tokio::test]
async fn two_documents_are_merged_in_the_order_of_the_settings() {
    let registry = registry().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("team-b.yaml");
    registry.publish_config("team-a.yaml", "routes: { /a/**: one, /both/**: one }");
    std::fs::write(&file, "routes: { /b/**: two, /both/**: two }").expect("a file");
    let gateway = Gateway::start(registry.http_addr(), |settings| {
        settings.routes = vec![
            config("team-a.yaml"),
            RouteSource::File {
                path: file.clone(),
                form: None,
            },
        ];
    });
    // On a busy machine the file alone may be the first table.
    gateway
        .until_routes(&["/a/**=one", "/b/**=two", "/both/**=one"])
        .await;
    until("the view tells of both", || {
        gateway.discovery.view().table.routes == 3 && gateway.document(1).faults.len() == 1
    })
    .await;
    let document = gateway.document(1);
    assert_eq!(
        (document.state, document.faults.len()),
        (DocumentState::Applied, 1)
    );
    assert_eq!(document.source, "file");

    // One team's bad edit keeps its own last good routes and touches nobody else's.
    std::fs::write(&file, "routes: { /b/**: [] }").expect("a file");
    gateway.until_state(1, DocumentState::Refused).await;
    registry.publish_config("team-a.yaml", "routes: { /a/**: three }");
    gateway
        .until_routes(&["/a/**=three", "/b/**=two", "/both/**=two"])
        .await;
    std::fs::remove_file(&file).expect("removed");
    gateway.until_state(1, DocumentState::Missing).await;
    assert_eq!(gateway.routes().len(), 3);
    let other = folder.path().join("new");
    std::fs::write(&other, "routes: { /b/**: four }").expect("a file");
    std::fs::rename(&other, &file).expect("renamed");
    gateway.until_routes(&["/a/**=three", "/b/**=four"]).await;
    until("the alarm is over", || !gateway.document(1).alarm).await;
}

#[tokio::test]
async fn routes_without_effect_are_counted_while_they_are_there() {
    let registry = registry().await;
    let count = |gateway: &Gateway, what: &str| {
        let name = format!("pailou_table_{what}_routes ");
        let text = gateway.metrics.render();
        let line = text.lines().find_map(|line| line.strip_prefix(&*name));
        line.expect("the metric").to_owned()
    };
    registry.publish_config("team-a.yaml", "routes: { /a/**: one, /both/**: one }");
    registry.publish_config(
        "team-b.yaml",
        "routes: { /both/**: two, late: { path: /a/**, service: two }, later: { path: /a/**, service: two } }",
    );
    let gateway = Gateway::start(registry.http_addr(), |settings| {
        settings.routes = vec![config("team-a.yaml"), config("team-b.yaml")];
    });
    gateway.discovery.ready().await;
    assert_eq!(count(&gateway, "duplicate"), "1");
    assert_eq!(count(&gateway, "shadowed"), "2");
    registry.publish_config("team-b.yaml", "routes: { /b/**: two }");
    until("both are mended", || {
        count(&gateway, "duplicate") == "0" && count(&gateway, "shadowed") == "0"
    })
    .await;
}

#[tokio::test]
async fn the_same_data_id_in_two_groups_is_two_documents() {
    let registry = registry().await;
    registry.publish_config(ROUTES, "routes: { /a/**: one }");
    let other = pailou_nacos_lite::ConfigKey::new("public", "TEAM", ROUTES);
    registry.publish_config(other, "routes: { /b/**: two }");
    let gateway = Gateway::start(registry.http_addr(), |settings| {
        let team = RouteSource::Config {
            nacos: "default".to_owned(),
            data_id: ROUTES.to_owned(),
            group: "TEAM".to_owned(),
            namespace: String::new(),
            form: None,
        };
        settings.routes = vec![config(ROUTES), team];
    });
    gateway.until_routes(&["/a/**=one", "/b/**=two"]).await;
    assert_eq!(gateway.document(1).name, format!("TEAM/{ROUTES}"));
}

#[tokio::test]
async fn a_burst_of_changes_ends_in_the_last_one() {
    let registry = registry().await;
    registry.publish_config(ROUTES, "routes: {}");
    let gateway = Gateway::start(registry.http_addr(), |_| {});
    gateway.discovery.ready().await;
    for round in 0..200 {
        registry.publish_config(ROUTES, &format!("routes: {{ /r{round}/**: one }}"));
    }
    gateway.until_routes(&["/r199/**=one"]).await;
    let revisions = gateway.discovery.view().table.revision;
    assert!(
        revisions < 100,
        "a burst is debounced, not published {revisions} times"
    );
}

#[tokio::test]
async fn a_gateway_that_starts_before_nacos_serves_when_it_comes() {
    let registry = registry().await;
    let address = registry.http_addr();
    registry.stop().await;
    let gateway = Gateway::start(address, |_| {});
    until("the reason says that Nacos is out of reach", || {
        gateway
            .discovery
            .view()
            .readiness
            .reason
            .contains("not connected to Nacos")
    })
    .await;
    assert_eq!(gateway.document(0).state, DocumentState::Waiting);
    let registry = crate::gateway::registry_at(address).await;
    put(&registry, "users", 9001);
    registry.publish_config(ROUTES, "routes: { /users/**: users }");
    gateway.discovery.ready().await;
    assert!(gateway.answers("/users/**"));
}

#[tokio::test]
async fn a_table_from_a_file_is_enough_when_nacos_stays_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("routes.yaml");
    std::fs::write(&file, "routes: { /a/**: one }").expect("a file");
    let started = Instant::now();
    let gateway = Gateway::start("127.0.0.1:9".parse().expect("an address"), |settings| {
        settings.routes = vec![RouteSource::File {
            path: file,
            form: None,
        }];
        settings.discovery.first_state_timeout = Duration::from_millis(200);
    });
    gateway.until_routes(&["/a/**=one"]).await;
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "new services are not waited for without end"
    );
    assert!(!gateway.discovery.view().readiness.ready);
    gateway.discovery.ready().await;
    assert!(
        started.elapsed() >= Duration::from_secs(10),
        "but they are waited for"
    );
    assert!(
        gateway
            .discovery
            .view()
            .readiness
            .reason
            .contains("DEFAULT_GROUP@@one")
    );
}

#[tokio::test]
async fn a_document_that_may_not_be_read_says_so() {
    let registry = registry().await;
    registry.publish_config(ROUTES, "routes: { /a/**: one }");
    registry
        .faults()
        .answer("ConfigQueryRequest", Answer::Error(403), u32::MAX);
    let gateway = Gateway::start(registry.http_addr(), |_| {});
    until("the trouble is shown", || {
        gateway.document(0).trouble.is_some()
    })
    .await;
    let document = gateway.document(0);
    assert_eq!(
        document.state,
        DocumentState::Waiting,
        "an error is no state"
    );
    let trouble = document.trouble.expect("trouble");
    until("the reason tells it", || {
        gateway.discovery.view().readiness.reason.contains(&trouble)
    })
    .await;
    registry.faults().clear();
    gateway.discovery.ready().await;
    until("it is over", || gateway.document(0).trouble.is_none()).await;
}

#[tokio::test]
async fn a_thousand_routes_are_live_soon_after_they_are_published() {
    let registry = registry().await;
    for service in 0..10 {
        put(&registry, &format!("service-{service}"), 9001);
    }
    let document = |path: &str| {
        let mut text = String::from("routes:\n");
        for route in 0..1_000 {
            let service = route % 10;
            text += &format!(
                "  /{path}/{route}/**: {{ service: service-{service}, strip_prefix: 1 }}\n"
            );
        }
        text
    };
    registry.publish_config(ROUTES, &document("a"));
    let gateway = Gateway::start(registry.http_addr(), |_| {});
    gateway.discovery.ready().await;
    let mut fastest = Duration::MAX;
    for path in ["b", "c", "d", "e", "f"] {
        let published = Instant::now();
        registry.publish_config(ROUTES, &document(path));
        let route = format!("/{path}/999/**");
        until("the new table is live", || {
            gateway.table.load().route(&route).is_some()
        })
        .await;
        fastest = fastest.min(published.elapsed());
    }
    // By the push: a poll, or the audit that finds a lost push, would take longer. How fast it is, the bench says.
    assert!(fastest < Duration::from_secs(5), "{fastest:?}");
}
