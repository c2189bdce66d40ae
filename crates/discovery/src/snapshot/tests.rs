use std::path::Path;

use pailou_config::{Environment, load_settings};
use tempfile::TempDir;

use super::contents::Contents;
use super::file::{MAX_BYTES, Outcome, SnapshotError};
use super::*;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn config(nacos: &str, data_id: &str) -> DocumentKey {
    DocumentKey::Config {
        nacos: nacos.to_owned(),
        namespace: "dev".to_owned(),
        group: "DEFAULT_GROUP".to_owned(),
        data_id: data_id.to_owned(),
    }
}

fn of(id: &str, servers: &[&str]) -> ServersByNacos {
    let servers = servers.iter().map(ToString::to_string).collect();
    BTreeMap::from([(id.to_owned(), servers)])
}

/// Two documents and a service of two endpoints, the second of which has nothing usual.
fn documents() -> Vec<(DocumentKey, SavedText)> {
    let older = |text: &str, ids: &[&str]| OlderText {
        text: text.into(),
        routes: ids.iter().map(|id| Arc::from(*id)).collect(),
    };
    let first = SavedText {
        older: [older("routes: {}", &["é", "x"]), older("", &["y"])].into(),
        ..SavedText::of("routes: { /é: 牌楼 }")
    };
    vec![
        (config("default", "a.yaml"), first),
        (DocumentKey::File("/b.yaml".to_owned()), SavedText::of("")),
    ]
}

fn services() -> Vec<(ServiceId, SavedService)> {
    let odd = EndpointSpec {
        weight: 0.1,
        enabled: false,
        healthy: false,
        cluster: "c\n\"".into(),
        metadata: Arc::new(BTreeMap::from([("k".to_owned(), "v".to_owned())])),
        ..EndpointSpec::new("[::1]:80".parse().expect("an address"))
    };
    let plain = EndpointSpec::new("10.0.0.1:80".parse().expect("an address"));
    let saved = SavedService {
        endpoints: [plain, odd].into(),
        health_is_known: false,
    };
    vec![(ServiceId::new("dev", "G", "users"), saved)]
}

fn write(path: &Path, present: Option<&str>) -> Result<Outcome, SnapshotError> {
    let (documents, services) = (documents(), services());
    let servers = of("default", &["n:8848"]);
    let texts = documents.iter().map(|(key, text)| (key, text));
    let contents = Contents::new(&servers, texts, &services);
    file::write(path, &contents, present, &mut Lock::default())
}

fn error(path: &Path) -> String {
    file::read(path).expect_err("not usable").to_string()
}

#[test]
fn what_was_written_is_read() {
    let folder = folder();
    let path = folder.path().join("snapshot");
    assert!(file::read(&path).expect("no file is no error").is_none());
    let Ok(Outcome::Written { digest, bytes }) = write(&path, None) else {
        panic!("it is written");
    };
    let found = file::read(&path).expect("usable").expect("a snapshot");
    assert_eq!((&found.digest, found.bytes), (&digest, bytes));
    let saved = found.contents.into_saved(&of("default", &["n:8848"]), None);
    assert_eq!(saved.documents, documents().into_iter().collect());
    assert_eq!(saved.services, services().into_iter().collect());
    let names: Vec<_> = std::fs::read_dir(folder.path())
        .expect("a folder")
        .collect();
    assert_eq!(names.len(), 1, "nothing is left beside it: {names:?}");

    assert_eq!(
        write(&path, Some(&digest)).expect("fine"),
        Outcome::Unchanged
    );
    std::fs::remove_file(&path).expect("removed");
    let again = write(&path, Some(&digest)).expect("fine");
    assert_ne!(again, Outcome::Unchanged, "somebody removed it");
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_it_whatever_was_there_before() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let path = folder.path().join("snapshot");
    std::fs::write(&path, "pailou-snapshot/0 old").expect("a file");
    write(&path, None).expect("written");
    let mode = std::fs::metadata(&path)
        .expect("a file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    let everybody = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(&path, everybody).expect("permissions");
    assert!(error(&path).contains("everybody"), "{}", error(&path));
}

#[test]
fn a_snapshot_torn_anywhere_is_ignored() {
    let folder = folder();
    let path = folder.path().join("snapshot");
    write(&path, None).expect("written");
    let whole = std::fs::read(&path).expect("a file");
    // An empty file is none: there is nothing in it that could be lost.
    for end in 1..whole.len() {
        std::fs::write(&path, &whole[..end]).expect("a file");
        assert!(error(&path).contains("torn"), "{end}: {}", error(&path));
    }
    std::fs::write(&path, [&whole[..], b" "].concat()).expect("a file");
    assert!(error(&path).contains("torn"));
}

#[test]
fn a_snapshot_with_any_byte_changed_is_ignored() {
    let folder = folder();
    let path = folder.path().join("snapshot");
    write(&path, None).expect("written");
    let whole = std::fs::read(&path).expect("a file");
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        std::fs::write(&path, &changed).expect("a file");
        assert!(file::read(&path).is_err(), "byte {at}");
    }
}

#[test]
fn what_is_no_snapshot_of_this_format_is_ignored() {
    let folder = folder();
    let path = folder.path().join("snapshot");
    let cases: [(&[u8], &str); 5] = [
        (b"pailou-snapshot/2 0 0\n", "another format"),
        (b"pailou-snapshot/10 0 0\n", "another format"),
        (b"routes: {}\n", "something else"),
        (&[0xff; 4096], "something else"),
        // The digest of an empty body fits; the body is no JSON.
        (
            b"pailou-snapshot/1 d41d8cd98f00b204e9800998ecf8427e 0\n",
            "not understood",
        ),
    ];
    for (bytes, expected) in cases {
        std::fs::write(&path, bytes).expect("a file");
        assert!(error(&path).contains(expected), "{}", error(&path));
    }
    std::fs::remove_file(&path).expect("removed");
    std::fs::create_dir(&path).expect("a folder");
    assert!(error(&path).contains("a folder"));
}

#[test]
fn a_snapshot_that_is_too_long_is_neither_read_nor_written() {
    let folder = folder();
    let path = folder.path().join("snapshot");
    std::fs::write(&path, "pailou-snapshot/1 ").expect("a file");
    let file = std::fs::File::options().append(true).open(&path);
    let file = file.expect("the file");
    file.set_len(MAX_BYTES + 1).expect("a sparse file");
    assert!(error(&path).contains("67108865 bytes"), "{}", error(&path));

    write(&path, None).expect("written");
    let good = std::fs::read(&path).expect("a file");
    let servers = ServersByNacos::new();
    let text = SavedText::of("x".repeat(4 << 20));
    let keys: Vec<_> = (0..17).map(|n| config("r", &n.to_string())).collect();
    let long = Contents::new(&servers, keys.iter().map(|key| (key, &text)), &[]);
    let refused = file::write(&path, &long, None, &mut Lock::default()).expect_err("too long");
    assert!(refused.to_string().contains("more than"), "{refused}");
    assert_eq!(std::fs::read(&path).expect("a file"), good);
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_that_names_it() {
    let folder = folder();
    // As root nothing is read-only, so a folder that is a file, and one that is not there.
    std::fs::write(folder.path().join("file"), "").expect("a file");
    for place in ["file/snapshot", "nowhere/snapshot"] {
        let path = folder.path().join(place);
        let error = write(&path, None).expect_err("not writable").to_string();
        assert!(
            error.contains(place) && error.contains(" cannot be "),
            "{error}"
        );
    }
}

#[test]
fn what_is_no_snapshot_is_not_overwritten() {
    let folder = folder();
    let place = |name: &str| folder.path().join(name);
    let victim = place("routes.yaml");
    std::fs::write(&victim, "routes: {}").expect("a file");
    std::os::unix::fs::symlink(&victim, place("link")).expect("a link");
    std::os::unix::fs::symlink(&victim, place("beside.tmp")).expect("a link");
    std::fs::write(place("own.tmp"), "notes of mine").expect("a file");
    std::fs::create_dir(place("folder")).expect("a folder");
    let _socket = std::os::unix::net::UnixListener::bind(place("socket")).expect("a socket");
    for (name, expected) in [
        ("routes.yaml", "routes.yaml holds something else"),
        ("link", "a symbolic link"),
        ("folder", "a folder"),
        ("socket", "a socket"),
        ("beside", "beside.tmp is a symbolic link"),
        ("own", "own.tmp holds something else"),
    ] {
        let refusal = write(&place(name), None).expect_err("not ours");
        assert!(refusal.to_string().contains(expected), "{name}: {refusal}");
        let told = look_at_snapshot(&place(name)).expect_err("not ours");
        assert!(told.to_string().contains(expected), "{name}: {told}");
    }
    let text = |name: &str| std::fs::read_to_string(place(name)).expect("a file");
    assert_eq!(text("routes.yaml"), "routes: {}");
    assert_eq!(text("own.tmp"), "notes of mine");
    assert!(!place("beside").exists() && !place("own").exists());
}

#[test]
fn what_a_killed_run_left_goes_away() {
    let folder = folder();
    let path = folder.path().join("snapshot");
    let left = folder.path().join("snapshot.tmp");
    for text in ["", "pailou-sn", "pailou-snapshot/1 00 99\n{"] {
        std::fs::write(&left, text).expect("a file");
        file::tidy(&path);
        assert!(!left.exists(), "{text:?}");
        std::fs::write(&left, text).expect("a file");
        std::fs::remove_file(&path).ok();
        write(&path, None).expect("written");
        assert!(!left.exists(), "{text:?}");
    }
    std::fs::write(&left, "notes of mine").expect("a file");
    file::tidy(&path);
    assert!(left.exists());
}

#[test]
fn a_second_gateway_does_not_write_where_the_first_one_does() {
    let folder = folder();
    let path = folder.path().join("snapshot");
    let servers = of("default", &["n:8848"]);
    let (documents, services) = (documents(), services());
    let all = || documents.iter().map(|(key, text)| (key, text));
    let contents = Contents::new(&servers, all(), &services);
    let less = Contents::new(&servers, [], &services);
    let (mut first, mut second) = (Lock::default(), Lock::default());
    let written = file::write(&path, &contents, None, &mut first).expect("written");
    let refusal = file::write(&path, &less, None, &mut second).expect_err("another one's");
    assert!(refusal.to_string().contains("snapshot.path"), "{refusal}");
    assert!(matches!(second.take(&path), Err(SnapshotError::Shared)));
    // The first one goes on: each write replaces the file, and the lock goes along.
    file::write(&path, &less, None, &mut first).expect("written");
    assert!(second.take(&path).is_err());
    assert_eq!(
        file::write(&path, &contents, None, &mut first).expect("written"),
        written
    );
    drop(first);
    file::write(&path, &less, None, &mut second).expect("the first one is gone");
}

#[test]
fn entries_of_other_servers_are_not_used() {
    let folder = folder();
    let path = folder.path().join("snapshot");
    write(&path, None).expect("written");
    let cases = [
        (of("default", &["n:8848"]), (2, 1)),
        // A file is where it is, whatever Nacos is used.
        (of("default", &["m:8848"]), (1, 0)),
        (of("default", &["m:8848", "n:8848"]), (1, 0)),
        (of("other", &["n:8848"]), (1, 0)),
    ];
    for (servers, expected) in cases {
        let found = file::read(&path).expect("usable").expect("a snapshot");
        let saved = found.contents.into_saved(&servers, None);
        let counts = (saved.documents.len(), saved.services.len());
        assert_eq!(counts, expected, "{servers:?}");
    }
}

/// One start with a wrong address, and what the run before had learned was gone.
#[test]
fn what_nothing_was_learned_of_since_stays_as_it_was() {
    let endpoints = |port: u16| SavedService {
        endpoints: [EndpointSpec::new(([10, 0, 0, 1], port).into())].into(),
        health_is_known: true,
    };
    let id = |nacos: &str, name: &str| {
        let id = ServiceId::new("dev", "G", name);
        ServiceId {
            nacos: nacos.into(),
            ..id
        }
    };
    let old = |folder: &TempDir| {
        let path = folder.path().join("snapshot");
        let services = [
            (id("default", "users"), endpoints(1)),
            (id("default", "orders"), endpoints(1)),
            (id("gone", "users"), endpoints(1)),
        ];
        let servers: ServersByNacos = [of("default", &["n:1"]), of("gone", &["g:1"])]
            .into_iter()
            .flatten()
            .collect();
        let (a, b) = (config("default", "a.yaml"), config("default", "b.yaml"));
        let texts = [(a, SavedText::of("A")), (b, SavedText::of("B"))];
        let texts = texts.iter().map(|(key, text)| (key, text));
        let contents = Contents::new(&servers, texts, &services);
        file::write(&path, &contents, None, &mut Lock::default()).expect("written");
        file::read(&path)
            .expect("usable")
            .expect("a snapshot")
            .contents
    };
    let heard = |answered: bool, told: bool| {
        let mut heard = Heard::default();
        if answered {
            heard.note(&"default".into(), told);
        }
        heard
    };
    // What this run knows: one of the documents and one of the services.
    let (new_a, new_services) = (
        config("default", "a.yaml"),
        [(id("default", "users"), endpoints(2))],
    );
    for (servers, answered, told, documents, services) in [
        // The same servers: what is new wins, the rest stays until they answer.
        ("n:1", false, false, "new A, B", "orders at 1, users at 2"),
        ("n:1", true, false, "new A", "users at 2"),
        ("n:1", true, true, "new A", "users at 2"),
        // Others: all stays until they have told of something.
        ("wrong:1", false, false, "A, B", "orders at 1, users at 1"),
        ("wrong:1", true, false, "A, B", "orders at 1, users at 1"),
        ("wrong:1", true, true, "new A", "users at 2"),
    ] {
        let case = format!("{servers} answered {answered} told {told}");
        let folder = folder();
        let ours = of("default", &[servers]);
        let text = SavedText::of("new A");
        let new = Contents::new(&ours, [(&new_a, &text)], &new_services);
        let kept = new.keep_unheard(old(&folder), &heard(answered, told));
        // Whoever starts with the servers that it was taken from finds it.
        let same = documents.contains("new") || answered && told;
        let taken_from = of("default", &[if same { servers } else { "n:1" }]);
        let path = folder.path().join("kept");
        file::write(&path, &kept, None, &mut Lock::default()).expect("written");
        let found = file::read(&path).expect("usable").expect("a snapshot");
        let saved = found.contents.into_saved(&taken_from, None);
        let texts: Vec<_> = saved.documents.values().map(|saved| &*saved.text).collect();
        assert_eq!(texts.join(", "), documents, "{case}");
        let ports = saved.services.iter().map(|(id, saved)| {
            assert_eq!(
                &*id.nacos, "default",
                "{case}: the settings have no other Nacos"
            );
            format!("{} at {}", id.name, saved.endpoints[0].address.port())
        });
        assert_eq!(ports.collect::<Vec<_>>().join(", "), services, "{case}");
    }
}

/// An upgrade must not cost what the version before had learned: it called a Nacos a registry.
#[test]
fn a_snapshot_of_a_version_before_is_read() {
    let services = services();
    let servers = of("default", &["n:8848"]);
    let documents = documents().into_iter();
    let documents: Vec<_> = documents
        .map(|(key, kept)| (key, SavedText::of(kept.text)))
        .collect();
    let texts = documents.iter().map(|(key, text)| (key, text));
    let contents = Contents::new(&servers, texts, &services);
    let before = r#"{
      "registries": { "default": ["n:8848"] },
      "documents": [
        { "kind": "config", "registry": "default", "namespace": "dev", "group": "DEFAULT_GROUP", "data_id": "a.yaml",
          "text": "routes: { /é: 牌楼 }" },
        { "kind": "file", "path": "/b.yaml", "text": "" }
      ],
      "services": [
        { "registry": "default", "namespace": "dev", "group": "G", "name": "users", "health_is_known": false,
          "endpoints": [
            { "address": "10.0.0.1:80", "cluster": "" },
            { "address": "[::1]:80", "weight": 0.1, "disabled": true, "unhealthy": true, "cluster": "c\n\"",
              "metadata": { "k": "v" } }
          ] }
      ]
    }"#;
    let read: Contents<'_> = serde_json::from_str(before).expect("a snapshot");
    assert_eq!(read, contents);
}

#[test]
fn the_order_of_the_servers_means_nothing() {
    let of = |servers: &str| {
        let environment = Environment::from_iter([("PAILOU_NACOS_SERVERS", servers)]);
        let loaded = load_settings(None, &environment);
        servers_by_nacos(&loaded.expect("valid settings").settings)
    };
    assert_eq!(of("a,b:1"), of("b:1,a"));
    assert_ne!(of("a,b:1"), of("a,b"));
}

#[test]
fn an_endpoint_whose_weight_is_no_number_does_not_spoil_the_rest() {
    let folder = folder();
    let path = folder.path().join("snapshot");
    let mut services = services();
    let mut endpoints = services[0].1.endpoints.to_vec();
    endpoints[0].weight = f64::NAN;
    services[0].1.endpoints = endpoints.into();
    let servers = of("default", &[]);
    let contents = Contents::new(&servers, [], &services);
    file::write(&path, &contents, None, &mut Lock::default()).expect("written");
    let found = file::read(&path).expect("usable").expect("a snapshot");
    let saved = found.contents.into_saved(&servers, None);
    let service = saved.services.values().next().expect("the service");
    assert_eq!(service.endpoints.len(), 1);
}
