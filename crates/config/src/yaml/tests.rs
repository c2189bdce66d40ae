use super::*;

/// The entries of a mapping as `key = text`, with `"` around what was quoted and `~` for nothing.
fn shown(text: &str) -> Vec<String> {
    let report = Report::new("t");
    let node = parse(text, &report).expect("valid YAML");
    assert!(!report.has_errors(), "{report:?}");
    let Value::Mapping(entries) = node.value else {
        panic!("a mapping")
    };
    let show = |(key, node): (Key, Node)| match node.value {
        Value::Null => format!("{} = ~", key.text),
        Value::Scalar(Scalar { text, quoted: true }) => format!("{} = {text:?}", key.text),
        Value::Scalar(Scalar {
            text,
            quoted: false,
        }) => format!("{} = {text}", key.text),
        other => format!("{} = {other:?}", key.text),
    };
    entries.into_iter().map(show).collect()
}

#[test]
fn a_scalar_keeps_its_text() {
    let cases = [
        ("a: 1.10", "a = 1.10"),
        ("a: true", "a = true"),
        ("a: yes", "a = yes"),
        ("a: ~", "a = ~"),
        ("a:", "a = ~"),
        ("a: 0x1F", "a = 0x1F"),
        ("a: 0755", "a = 0755"),
        ("a: 1_000", "a = 1_000"),
        ("a: 12:30:45", "a = 12:30:45"),
        ("a: .inf", "a = .inf"),
        ("a: 1e999", "a = 1e999"),
        (
            "a: 123456789012345678901234567890",
            "a = 123456789012345678901234567890",
        ),
        ("a: 2.50 # comment", "a = 2.50"),
        ("é: [1.10]\na: 1.20", "a = 1.20"),
        ("a: &x 1.20\nb: *x", "b = 1.20"),
        ("a: '1.10'", "a = \"1.10\""),
        ("a: \"x\\ty\"", "a = \"x\\ty\""),
        ("a: |\n  text\n", "a = text\n"),
        ("1: x", "1 = x"),
        ("2.0: x", "2.0 = x"),
        ("true: x", "true = x"),
        ("\u{feff}a: 1.10\r\nb: 2.20\r\n", "b = 2.20"),
    ];
    for (text, expected) in cases {
        assert_eq!(
            shown(text).last().map(String::as_str),
            Some(expected),
            "{text}"
        );
    }
}

#[test]
fn the_deepest_document_fits_a_small_stack() {
    let deep = |depth: usize| {
        (0..depth)
            .map(|level| format!("{}a:\n", " ".repeat(level)))
            .collect::<String>()
    };
    let on_a_small_stack = |text: String| {
        let parse = move || {
            let report = Report::new("t");
            (parse(&text, &report).is_some(), report.into_faults())
        };
        std::thread::Builder::new()
            .stack_size(512 << 10)
            .spawn(parse)
            .expect("a thread")
            .join()
            .expect("no overflow")
    };
    assert!(on_a_small_stack(deep(MAX_DEPTH)).0);
    let (is_read, faults) = on_a_small_stack(deep(MAX_DEPTH + 1));
    assert!(!is_read);
    assert_eq!(
        faults[0].to_string(),
        "t:65:65: nested more than 64 levels deep"
    );
}
