use proptest::prelude::*;

use super::*;

/// Odd spellings and what becomes of each, one a line.
const SPELLINGS: &str = include_str!("../../tests/data/targets.txt");

/// One line of the data file: the target, and either its normal form and what
/// is matched, or the reason for its refusal.
struct Spelling {
    line: usize,
    raw: Vec<u8>,
    outcome: Result<(String, String), String>,
}

fn spellings() -> Vec<Spelling> {
    let mut all = Vec::new();
    for (index, line) in SPELLINGS.lines().enumerate() {
        if line.is_empty() || line.starts_with("# ") {
            continue;
        }
        let columns: Vec<&str> = line.split(" | ").map(str::trim).collect();
        let outcome = match columns[1..] {
            ["refused", reason] => Err(reason.to_owned()),
            [forwarded] => Ok((forwarded.to_owned(), forwarded.to_owned())),
            [forwarded, matched] => Ok((forwarded.to_owned(), matched.to_owned())),
            _ => panic!("targets.txt:{}: columns", index + 1),
        };
        all.push(Spelling {
            line: index + 1,
            raw: unescape(columns[0]),
            outcome,
        });
    }
    all
}

/// `\xHH` in the data file is one byte, `\\` a backslash.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'\\', [b'x', high, low, tail @ ..]) => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).expect("hex digits");
                bytes.push(u8::from_str_radix(digits, 16).expect("hex digits"));
                rest = tail;
            }
            (b'\\', [b'\\', tail @ ..]) => {
                bytes.push(b'\\');
                rest = tail;
            }
            _ => bytes.push(*first),
        }
    }
    bytes
}

#[test]
fn odd_spellings_are_normalised_or_refused_as_the_table_says() {
    let spellings = spellings();
    assert!(
        spellings.len() > 100,
        "the table has {} rows",
        spellings.len()
    );
    for Spelling { line, raw, outcome } in spellings {
        let shown = String::from_utf8_lossy(&raw).into_owned();
        let parsed = Target::parse(&raw);
        let got = match &parsed {
            Ok(target) => {
                let query = target
                    .query()
                    .map(|query| format!("?{query}"))
                    .unwrap_or_default();
                Ok((
                    format!("{}{query}", target.forwarded_path()),
                    format!("{}{query}", target.path()),
                ))
            }
            Err(error) => Err(error.reason().to_owned()),
        };
        assert_eq!(got, outcome, "targets.txt:{line}: {shown}");
    }
}

#[test]
fn a_normal_target_is_borrowed() {
    for raw in [
        "/",
        "/api/users/7",
        "/a.b/.well-known/x",
        "/%E4%BD%A0/%20",
        "/a?b=c",
        "http://example.com/a",
    ] {
        let target = Target::parse(raw.as_bytes()).expect("legal");
        assert!(matches!(target.forwarded, Cow::Borrowed(_)), "{raw}");
        assert!(target.matched.is_none(), "{raw}");
    }
}

#[test]
fn an_absolute_target_tells_its_authority() {
    let target = Target::parse(b"HTTP://Example.com:8080/a").expect("legal");
    let authority = target.authority().expect("an authority");
    assert_eq!(
        (authority.name(), authority.port()),
        ("example.com", Some(8080))
    );
    assert!(Target::parse(b"/a").expect("legal").authority().is_none());
}

#[test]
fn reasons_are_distinct_labels() {
    let all = [
        TargetError::Form,
        TargetError::Authority,
        TargetError::Fragment,
        TargetError::Control,
        TargetError::EncodedControl,
        TargetError::Backslash,
        TargetError::EncodedSlash,
        TargetError::EncodedBackslash,
        TargetError::Percent,
        TargetError::PercentU,
        TargetError::NotUtf8,
        TargetError::AboveRoot,
        TargetError::DotParameters,
        TargetError::OnlyParameters,
    ];
    let labels: std::collections::BTreeSet<_> = all.iter().map(|error| error.reason()).collect();
    assert_eq!(labels.len(), all.len());
    // Each reason is shown by a row of the table.
    let shown: std::collections::BTreeSet<_> = spellings()
        .into_iter()
        .filter_map(|spelling| spelling.outcome.err())
        .collect();
    assert_eq!(
        labels
            .into_iter()
            .map(str::to_owned)
            .collect::<std::collections::BTreeSet<_>>(),
        shown
    );
}

/// Pieces that paths are attacked with, so that random targets are odd often.
fn odd_target() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(b"/".to_vec()),
        3 => prop::sample::select(vec![
            "a", "admin", "api", ".", "..", ";", ";x=1", "%2e", "%2E", "%61", "%25", "%2f", "%5C", "%00", "%c3%a9",
            "%C3%A9", "%c0%ae", "%u002e", "%", "%3b", "é", "\\", " ", "?", "#", "//", "%e4%bd%a0", "{", "%7b", "~",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..3),
    ];
    prop::collection::vec(piece, 0..10).prop_map(|pieces| {
        let mut raw = b"/".to_vec();
        raw.extend(pieces.concat());
        raw
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn any_bytes_are_parsed_or_refused(raw in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = Target::parse(&raw);
        let _ = Host::parse(&raw);
    }

    #[test]
    fn the_forwarded_form_parses_to_itself(raw in odd_target()) {
        if let Ok(target) = Target::parse(&raw) {
            let query = target.query().map(|query| format!("?{query}")).unwrap_or_default();
            let forwarded = format!("{}{query}", target.forwarded_path());
            let again = Target::parse(forwarded.as_bytes()).expect("a normal form is legal");
            prop_assert_eq!(again.forwarded_path(), target.forwarded_path());
            prop_assert_eq!(again.path(), target.path());
            prop_assert_eq!(again.query(), target.query());
            // What is matched is in normal form too.
            let matched = Target::parse(target.path().as_bytes()).expect("a matched path is legal");
            prop_assert_eq!(matched.forwarded_path(), target.path());
        }
    }

    #[test]
    fn no_spelling_hides_a_segment(raw in odd_target()) {
        if let Ok(target) = Target::parse(&raw) {
            let path = target.path();
            prop_assert!(path.starts_with('/'));
            prop_assert!(!path.contains("//"));
            prop_assert!(!path.contains(';'));
            prop_assert!(path.bytes().all(|byte| (0x21..0x7F).contains(&byte) && byte != b'\\'));
            // Also to a server that takes an encoded slash for a separator.
            for segment in path.replace("%2F", "/").split('/') {
                prop_assert!(segment != "." && segment != "..", "{}", path);
            }
            let lower = target.forwarded_path().to_ascii_lowercase();
            for needle in ["%5c", "%2e", "%00", "%61"] {
                prop_assert!(!lower.contains(needle), "{}", lower);
            }
        }
    }
}

#[test]
fn what_a_uri_cannot_have_raw_is_known() {
    for (raw, is_uri) in [
        ("/a/b;v=1?c=d&e=%20", true),
        ("/a:@!$&'()*+,=~?/?:", true),
        ("/%7Ba%7D", true),
        ("/{a}", false),
        ("/a?b[]=1", true),
        ("/a[1]", false),
        ("/a?b=|", false),
        ("/a?b=%zz", false),
        ("/a?b=%2", false),
        ("/a?b=\"", false),
        ("/a^", false),
    ] {
        let target = Target::parse(raw.as_bytes()).expect(raw);
        assert_eq!(target.is_uri(), is_uri, "{raw}");
    }
}
