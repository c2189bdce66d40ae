use super::*;
use crate::fault::Report;

/// The values of some fields, and the faults, of arguments in YAML.
fn read(yaml: &str, shortcut: Shortcut, fields: &[&str]) -> (Vec<Option<String>>, Vec<String>) {
    with(yaml, shortcut, |args| {
        let value = |name: &&str| args.get(name).map(|arg| arg.text().to_owned());
        fields.iter().map(value).collect()
    })
}

fn with<T>(yaml: &str, shortcut: Shortcut, ask: impl Fn(&ScgArgs<'_>) -> T) -> (T, Vec<String>) {
    let report = Report::new("d");
    let node = Node::parse_yaml(yaml, &report).expect("valid YAML");
    let field = Field::new(&node, "args", &report);
    let args = ScgArgs::read(&field, shortcut).expect("arguments");
    let value = ask(&args);
    args.finish();
    let faults = report.into_faults();
    let words = |fault: &crate::Fault| format!("{}: {}", fault.path, fault.problem);
    (value, faults.iter().map(words).collect())
}

fn list(yaml: &str, shortcut: Shortcut, name: &str) -> (Vec<String>, Vec<String>) {
    with(yaml, shortcut, |args| {
        let items = args.list(name);
        items.iter().map(|arg| arg.text().to_owned()).collect()
    })
}

#[test]
fn arguments_without_a_name_go_by_their_place_whatever_their_number() {
    const REWRITE: Shortcut = Shortcut::Fields(&["regexp", "replacement"]);
    for (yaml, regexp, replacement) in [
        ("{_genkey_0: /a, _genkey_1: /b}", Some("/a"), Some("/b")),
        ("{_genkey_1: /y, _genkey_0: /w2}", Some("/y"), Some("/w2")),
        ("{_genkey_7: /a}", Some("/a"), None),
        ("{replacement: /b, regexp: /a}", Some("/a"), Some("/b")),
        ("{REGEXP: /a, Replacement: 1.10}", Some("/a"), Some("1.10")),
        // The place counts among all arguments.
        ("{regexp: /a, _genkey_0: /b}", Some("/a"), Some("/b")),
        ("[/a, /b]", Some("/a"), Some("/b")),
        ("/a, /b", Some("/a"), Some("/b")),
        ("{regexp: /a, replacement: null}", Some("/a"), Some("")),
        ("{}", None, None),
        ("", None, None),
    ] {
        let (found, faults) = read(yaml, REWRITE, &["regexp", "replacement"]);
        let expected = [regexp, replacement].map(|text| text.map(str::to_owned));
        assert_eq!(found, expected, "{yaml}");
        assert_eq!(faults, [""; 0], "{yaml}");
    }
}

#[test]
fn what_nobody_asked_for_is_said_to_be_ignored() {
    let fields = Shortcut::Fields(&["name", "value"]);
    let (_, faults) = read(
        "{_genkey_0: X-A, _genkey_1: a, _genkey_2: b, nonsense: 1}",
        fields,
        &["name", "value"],
    );
    assert_eq!(
        faults,
        [
            "args._genkey_2: `b` is one argument too many; ignored",
            "args.nonsense: no argument of it; ignored"
        ]
    );
    // Both are the same name to Spring, which has one value for it.
    let (found, faults) = read("{name: a, Name: b}", fields, &["name"]);
    assert_eq!(found, [Some("b".to_owned())]);
    assert_eq!(faults, [""; 0]);
}

#[test]
fn nested_values_and_dotted_names_are_the_same() {
    for yaml in [
        "{backoff: {firstBackoff: 10ms}}",
        "{backoff.firstBackoff: 10ms}",
        "{backoff.first-backoff: 10ms}",
        "{BACKOFF.FIRST_BACKOFF: 10ms}",
    ] {
        let name = "backoff.firstBackoff";
        let (found, faults) = read(yaml, Shortcut::Fields(&["retries"]), &[name]);
        assert_eq!(found, [Some("10ms".to_owned())], "{yaml}");
        assert_eq!(faults, [""; 0], "{yaml}");
    }
    let weight = Shortcut::Fields(&["weight.group", "weight.weight"]);
    let fields = ["weight.group", "weight.weight"];
    let (found, _) = read("{_genkey_0: g, _genkey_1: 8}", weight, &fields);
    assert_eq!(found, [Some("g".to_owned()), Some("8".to_owned())]);
    // Without the prefix, Spring does not find it either.
    let (found, faults) = read("{group: g, weight: 8}", weight, &fields);
    assert_eq!(found, [None, None]);
    assert_eq!(faults.len(), 2);
}

#[test]
fn a_list_of_a_named_field_is_a_list_or_a_text_with_commas() {
    for yaml in [
        "{statuses: [A, B]}",
        "{statuses: 'A, B,'}",
        "{statuses.0: A, statuses.1: B}",
        "{'statuses[1]': B, 'statuses[0]': A}",
    ] {
        let (items, faults) = list(yaml, Shortcut::Fields(&["retries"]), "statuses");
        assert_eq!(items, ["A", "B"], "{yaml}");
        assert_eq!(faults, [""; 0], "{yaml}");
    }
    assert!(list("{}", Shortcut::Fields(&[]), "statuses").0.is_empty());
}

#[test]
fn a_gathered_list_takes_every_value_whatever_its_key() {
    const METHODS: Shortcut = Shortcut::List("methods");
    for (yaml, expected) in [
        ("{_genkey_0: GET, _genkey_3: POST}", &["GET", "POST"][..]),
        ("{methods: [GET, POST]}", &["GET", "POST"]),
        ("{anything: GET, methods.1: POST}", &["GET", "POST"]),
        ("{'': GET}", &["GET"]),
        ("[GET, POST]", &["GET", "POST"]),
        ("{}", &[]),
    ] {
        let (items, faults) = list(yaml, METHODS, "methods");
        assert_eq!(items, expected, "{yaml}");
        assert_eq!(faults, [""; 0], "{yaml}");
    }
    let (items, faults) = list("{methods: 'GET,POST'}", METHODS, "methods");
    assert_eq!(items, ["GET,POST"]);
    assert!(faults[0].contains("does not split"), "{faults:?}");
    let (items, faults) = list("{patterns: '/{id:[0-9]{1,3}}'}", METHODS, "methods");
    assert_eq!((items.len(), faults.len()), (1, 0));
}

#[test]
fn the_flag_is_the_last_value_or_none() {
    const PATH: Shortcut = Shortcut::ListThenFlag("patterns", "matchTrailingSlash");
    for (yaml, patterns, flag) in [
        (
            "{_genkey_0: /a, _genkey_1: 'false'}",
            &["/a"][..],
            Some("false"),
        ),
        (
            "{patterns: [/a], match-trailing-slash: false}",
            &["/a"],
            Some("false"),
        ),
        (
            "{patterns: /a, matchTrailingSlash: 'TRUE'}",
            &["/a"],
            Some("TRUE"),
        ),
        ("{pattern: /a, other: /b}", &["/a", "/b"], None),
        ("{_genkey_0: 'true'}", &[], Some("true")),
        ("{}", &[], None),
    ] {
        let ((items, found), faults) = with(yaml, PATH, |args| {
            let items = args.list("patterns");
            let items: Vec<_> = items.iter().map(|arg| arg.text().to_owned()).collect();
            let flag = args.get("matchTrailingSlash");
            (items, flag.map(|arg| arg.text().to_owned()))
        });
        assert_eq!(items, patterns, "{yaml}");
        assert_eq!(found.as_deref(), flag, "{yaml}");
        assert_eq!(faults, [""; 0], "{yaml}");
    }
    let yaml = "{matchTrailingSlash: 'false', patterns.0: /a}";
    let (items, faults) = list(yaml, PATH, "patterns");
    assert_eq!(items, ["/a"]);
    assert!(
        faults[0].contains("only as the last argument"),
        "{faults:?}"
    );
}

#[test]
fn values_are_converted_as_by_spring_or_the_fault_says_what_was_expected() {
    let yaml = "{n: '7', m: -1, b: 'YES', d: PT1S, s: 5MB, e: retain-last, x: abc}";
    let ((), faults) = with(yaml, Shortcut::Fields(&[]), |args| {
        let arg = |name| args.required(name).expect("it is there");
        assert_eq!(arg("n").integer(0..=9u32), Some(7));
        assert_eq!(arg("m").integer(-1..=9i32), Some(-1));
        assert_eq!(arg("m").integer(0..=9u8), None);
        assert_eq!(arg("b").boolean(), Some(true));
        let second = std::time::Duration::from_secs(1);
        assert_eq!(arg("d").duration(), Some(second));
        assert_eq!(arg("m").duration(), None);
        assert_eq!(arg("s").size(), Some(5 << 20));
        assert_eq!(arg("n").number(0.0..=10.0), Some(7.0));
        let choices = [("RETAIN_FIRST", 1), ("RETAIN_LAST", 2)];
        assert_eq!(arg("e").one_of(&choices), Some(2));
        assert_eq!(arg("x").one_of(&choices), None);
        for read in [arg("x").boolean().is_some(), arg("x").size().is_some()] {
            assert!(!read);
        }
        assert!(args.required("gone").is_none());
    });
    for (fault, words) in faults.iter().zip([
        "args: `gone` is missing",
        "args.m: `-1`",
        "args.m: `-1`",
        "args.x: `abc`",
    ]) {
        assert!(fault.starts_with(words), "{faults:?}");
    }
    assert_eq!(faults.len(), 6);
}

#[test]
fn faults_name_the_field_of_an_argument_without_a_name() {
    let ((), faults) = with(
        "{_genkey_0: x, _genkey_4: y}",
        Shortcut::Fields(&["weight.group", "weight.weight"]),
        |args| {
            args.get("weight.group")
                .expect("it is there")
                .fault("wrong");
            args.get("weight.weight")
                .expect("it is there")
                .fault("wrong");
        },
    );
    assert_eq!(
        faults,
        ["args.weight.group: wrong", "args.weight.weight: wrong"]
    );
    let ((), faults) = with(
        "[/a, 'true']",
        Shortcut::ListThenFlag("patterns", "flag"),
        |args| {
            args.list("patterns")[0].fault("wrong");
            args.get("flag").expect("it is there").fault("wrong");
        },
    );
    assert_eq!(faults, ["args.patterns[0]: wrong", "args.flag: wrong"]);
}
