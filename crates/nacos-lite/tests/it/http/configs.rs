//! Configs and long polls.

use super::*;

#[tokio::test]
async fn a_config_comes_back_with_its_hash_and_type() {
    let http = Http::start(Options::default()).await;
    let missing = http
        .ask("GET /v1/cs/configs?dataId=a.yaml&group=G", "")
        .await;
    assert_eq!(
        (missing.status.as_u16(), missing.body.as_str()),
        (404, "config data not exist\n")
    );
    let published = http
        .ask(
            "POST /v1/cs/configs",
            "dataId=a.yaml&group=G&type=yaml&content=k%3A+%C3%BC%26",
        )
        .await;
    assert_eq!(published.body, "true");
    let found = http
        .ask("GET /v1/cs/configs?dataId=a.yaml&group=G&tenant=public", "")
        .await;
    assert_eq!((found.status.as_u16(), found.body.as_str()), (200, "k: ü&"));
    assert_eq!(found.headers["config-type"], "yaml");
    assert_eq!(
        found.headers["content-md5"],
        "2184f55dff6446e6e13d1d05e10fe960"
    );
    let elsewhere = http
        .ask("GET /v1/cs/configs?dataId=a.yaml&group=G&tenant=dev", "")
        .await;
    assert_eq!(elsewhere.status.as_u16(), 404);
    let swap = [("casMd5", "00")];
    let refused = http
        .ask_with(
            "POST /v1/cs/configs",
            "dataId=a.yaml&group=G&content=x",
            &swap,
        )
        .await;
    assert_eq!(refused.status.as_u16(), 500);
    for _ in 0..2 {
        assert_eq!(
            http.ask("DELETE /v1/cs/configs?dataId=a.yaml&group=G", "")
                .await
                .body,
            "true"
        );
    }
    assert_eq!(http.registry.config("a.yaml"), None);
}

#[tokio::test]
async fn a_long_poll_answers_at_once_when_something_differs() {
    let http = Http::start(Options::default()).await;
    http.registry.publish_config("lp", "k: 1");
    let listen = "POST /v1/cs/configs/listener";
    let md5 = "91f4a7bb25cd3347fcc9821061b42d2a";
    for (config, no_hangup, expected) in [
        (
            "lp%02DEFAULT_GROUP%02wrong%01".to_owned(),
            false,
            "lp%02DEFAULT_GROUP%01\n",
        ),
        (
            "lp%02DEFAULT_GROUP%02wrong%02public%01".to_owned(),
            false,
            "lp%02DEFAULT_GROUP%02public%01\n",
        ),
        (format!("lp%02DEFAULT_GROUP%02{md5}%01"), true, ""),
        ("none%02DEFAULT_GROUP%02%01".to_owned(), true, ""),
        (
            format!("none%02DEFAULT_GROUP%02{md5}%01"),
            true,
            "none%02DEFAULT_GROUP%01\n",
        ),
    ] {
        let mut headers = vec![("Long-Pulling-Timeout", "30000")];
        if no_hangup {
            headers.push(("Long-Pulling-Timeout-No-Hangup", "true"));
        }
        let answer = http
            .ask_with(listen, &format!("Listening-Configs={config}"), &headers)
            .await;
        assert_eq!(
            (answer.status.as_u16(), answer.body.as_str()),
            (200, expected),
            "{config}"
        );
    }
    assert_eq!(http.ask(listen, "").await.status.as_u16(), 400);
}

#[tokio::test]
async fn a_long_poll_waits_for_a_change() {
    let http = Http::start(Options::default()).await;
    http.registry.publish_config("lp", "k: 1");
    let mut md5 = "91f4a7bb25cd3347fcc9821061b42d2a";
    for change in ["update", "remove"] {
        let form = format!("Listening-Configs=lp%02DEFAULT_GROUP%02{md5}%01");
        let headers = [("Long-Pulling-Timeout", "30000")];
        let poll = http.ask_with("POST /v1/cs/configs/listener", &form, &headers);
        let act = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let at = Instant::now();
            // Another config wakes nobody.
            http.registry.publish_config("other", change);
            match change {
                "update" => http.registry.publish_config("lp", "k: 2"),
                _ => assert!(http.registry.remove_config("lp")),
            }
            at
        };
        let (answer, changed_at) = tokio::join!(poll, act);
        assert_eq!(answer.body, "lp%02DEFAULT_GROUP%01\n", "{change}");
        assert!(changed_at.elapsed() < Duration::from_secs(2));
        md5 = "b53e05ea21448dcd6e8e287f31dd4c07";
    }
}
