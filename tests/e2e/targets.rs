//! One reading of a target: what was matched is what is forwarded, through the real binary.

use std::time::Duration;

use crate::support::raw::exchange;
use crate::support::recorder::Recorder;
use crate::support::world::{World, until_answered_by};

/// Odd spellings and what becomes of each; the file says how it is read.
const SPELLINGS: &str = include_str!("../../crates/routing/tests/data/targets.txt");

struct Spelling {
    line: usize,
    raw: Vec<u8>,
    /// What is forwarded, and the path that is matched; none where it is refused.
    outcome: Option<(String, String)>,
}

fn spellings() -> Vec<Spelling> {
    let lines = SPELLINGS.lines().enumerate();
    let rows = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with("# "));
    rows.map(|(index, line)| {
        let columns: Vec<&str> = line.split(" | ").map(str::trim).collect();
        let outcome = match columns[1..] {
            ["refused", _] => None,
            [forwarded] => Some((forwarded.to_owned(), forwarded.to_owned())),
            [forwarded, matched] => Some((forwarded.to_owned(), matched.to_owned())),
            _ => panic!("targets.txt:{}: columns", index + 1),
        };
        Spelling {
            line: index + 1,
            raw: unescape(columns[0]),
            outcome,
        }
    })
    .collect()
}

/// `\xHH` in the file is one byte, `\\` a backslash.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        if let Some(after) = escaped.strip_prefix('x') {
            bytes.push(u8::from_str_radix(&after[..2], 16).expect("hex digits"));
            rest = &after[2..];
        } else {
            bytes.push(b'\\');
            rest = &escaped[1..];
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// The Host that goes with a target: that of an absolute one, or any.
fn host(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    let authority = text
        .split_once("://")
        .map(|(_, rest)| rest.split(['/', '?']).next().unwrap_or_default());
    authority
        .filter(|host| !host.is_empty())
        .unwrap_or("example.com")
        .to_owned()
}

fn is_below_admin(path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    path == "/admin" || path.starts_with("/admin/")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_reaches_what_its_route_does_not_lead_to() {
    let world = World::new().await;
    let (public, admin) = (
        Recorder::start("public").await,
        Recorder::start("admin").await,
    );
    let _public = world.register("public-service", public.address()).await;
    let _admin = world.register("admin-service", admin.address()).await;
    world
        .publish(
            "routes:\n  /**: { service: public-service, encoded_slashes: keep }\n  \
             /admin/**: { service: admin-service, encoded_slashes: keep }\n",
        )
        .await;
    let gateway = world.gateway().await.ready().await;
    until_answered_by(&gateway.url("/x"), "public").await;
    until_answered_by(&gateway.url("/admin/x"), "admin").await;

    let spellings = spellings();
    assert!(
        spellings.len() > 100,
        "the table has {} rows",
        spellings.len()
    );
    for Spelling { line, raw, outcome } in spellings {
        let shown = String::from_utf8_lossy(&raw).escape_debug().to_string();
        let request = [
            b"GET ",
            &raw[..],
            format!(
                " HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
                host(&raw)
            )
            .as_bytes(),
        ]
        .concat();
        let before = [public.request_lines().len(), admin.request_lines().len()];
        let answer = exchange(gateway.data(), &request, Duration::from_secs(5)).await;
        let reached: Vec<_> = [&public, &admin]
            .iter()
            .zip(before)
            .map(|(recorder, before)| recorder.request_lines().split_off(before))
            .collect();
        let place = format!("targets.txt:{line}: {shown}: {answer}");
        let Some((forwarded, matched)) = outcome else {
            assert!(answer.starts_with("HTTP/1.1 400"), "{place}");
            assert_eq!(reached, [[""; 0]; 2], "{place}");
            continue;
        };
        assert!(answer.starts_with("HTTP/1.1 200"), "{place}");
        let line = vec![format!("GET {forwarded} HTTP/1.1")];
        let expected = if is_below_admin(&matched) {
            [vec![], line]
        } else {
            [line, vec![]]
        };
        assert_eq!(reached, expected, "{place}");
    }
}
