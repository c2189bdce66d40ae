use std::time::Duration;

use super::*;

/// Reads `a` of a one-line document; gives the value as text, or the fault without its place.
fn read<T: std::fmt::Debug>(
    value: &str,
    reader: impl Fn(&Field<'_>) -> Option<T>,
) -> Result<String, String> {
    let report = Report::new("d");
    let text = format!("a: {value}\n");
    let node = Node::parse_yaml(&text, &report).expect("valid YAML");
    let mut fields = Field::new(&node, "", &report).mapping().expect("a mapping");
    let value = fields.required("a").and_then(|field| reader(&field));
    fields.finish();
    let faults = report.into_faults();
    assert_eq!(
        value.is_none(),
        !faults.is_empty(),
        "a value or a fault: {faults:?}"
    );
    match value {
        Some(value) => Ok(format!("{value:?}")),
        None => Err(faults
            .iter()
            .map(Fault::to_string)
            .collect::<Vec<_>>()
            .join(" | ")
            .replace("d:1:4: a: ", "")),
    }
}

#[test]
fn single_values_are_strict() {
    let text = |value: &str| read(value, |field| field.string());
    assert_eq!(text("1.10"), Ok("\"1.10\"".to_owned()));
    assert_eq!(text("[x]"), Err("a list; expected a text".to_owned()));
    assert_eq!(text("~"), Err("no value; expected a text".to_owned()));

    let boolean = |value: &str| read(value, |field| field.boolean());
    assert_eq!(boolean("true"), Ok("true".to_owned()));
    assert_eq!(
        boolean("on"),
        Err("`on`; expected true or false".to_owned())
    );
    assert_eq!(
        boolean("\"true\""),
        Err("the text `true`; expected true or false".to_owned())
    );

    let integer = |value: &str| read(value, |field| field.integer(1..=10));
    assert_eq!(integer("10"), Ok("10".to_owned()));
    for wrong in [
        "0",
        "11",
        "-1",
        "1.0",
        "1e1",
        "0x5",
        "+5",
        "1_0",
        "two",
        "99999999999999999999999",
    ] {
        assert_eq!(
            integer(wrong),
            Err(format!("`{wrong}`; expected a whole number from 1 to 10"))
        );
    }

    let signed = |value: &str| read(value, |field| field.signed(-5..=5));
    assert_eq!(signed("-5"), Ok("-5".to_owned()));
    for wrong in ["-6", "--5", "-", "6"] {
        assert!(
            signed(if wrong == "-" { "'-'" } else { wrong }).is_err(),
            "{wrong}"
        );
    }

    let number = |value: &str| read(value, |field| field.number(-1.0..=1.0));
    assert_eq!(number("0.5"), Ok("0.5".to_owned()));
    for wrong in [".inf", ".nan", "inf", "NaN", "1e999", "1.01", "-2", "x"] {
        assert_eq!(
            number(wrong),
            Err(format!("`{wrong}`; expected a number from -1 to 1"))
        );
    }

    let duration = |value: &str| {
        read(value, |field| {
            field.duration(Duration::from_secs(1)..=Duration::from_secs(60))
        })
    };
    assert_eq!(duration("1m"), Ok("60s".to_owned()));
    assert_eq!(
        duration("5"),
        Err("`5`; expected a duration with its unit (500ms, 5s, 2m, 1h) from 1s to 1m".to_owned())
    );
    assert_eq!(
        read("off", |field| field.limit(Duration::ZERO..=Duration::MAX)),
        Ok("Off".to_owned())
    );

    let size = |value: &str| read(value, |field| field.size(1..=1 << 20));
    assert_eq!(size("64KiB"), Ok("65536".to_owned()));
    assert_eq!(
        size("64KB"),
        Err(
            "`64KB`; expected a size (64KiB, 10MiB, 1GiB or a number of bytes) from 1B to 1MiB"
                .to_owned()
        )
    );

    let choice = |value: &str| {
        read(value, |field| {
            field.one_of(&[("random", 1), ("round_robin", 2)])
        })
    };
    assert_eq!(choice("random"), Ok("1".to_owned()));
    assert_eq!(
        choice("randon"),
        Err("`randon`; expected one of random, round_robin; did you mean `random`?".to_owned())
    );

    let address = |value: &str| {
        read(value, |field| {
            field.parse::<std::net::IpAddr>("an IP address")
        })
    };
    assert_eq!(address("::1"), Ok("::1".to_owned()));
    assert_eq!(
        address("x"),
        Err("`x`: invalid IP address syntax; expected an IP address".to_owned())
    );
}

#[test]
fn lists_and_maps_report_each_item() {
    let list = |value: &str| read(value, |field| field.string_list());
    assert_eq!(list("x"), Ok("[\"x\"]".to_owned()));
    assert_eq!(list("[x, 1.10]"), Ok("[\"x\", \"1.10\"]".to_owned()));
    assert_eq!(
        list("[x, [], {}]"),
        Err(
            "d:1:8: a[1]: a list; expected a text | d:1:12: a[2]: a mapping; expected a text"
                .to_owned()
        )
    );
    let map = |value: &str| read(value, |field| field.string_map());
    assert_eq!(map("{ x: 1.10 }"), Ok("{\"x\": \"1.10\"}".to_owned()));
    assert_eq!(
        map("{ x: , y/z: [] }"),
        Err(
            "d:1:7: a.x: no value; expected a text | d:1:16: a[\"y/z\"]: a list; expected a text"
                .to_owned()
        )
    );
    assert_eq!(
        map("x"),
        Err("a single value; expected a mapping".to_owned())
    );
}

#[test]
fn a_part_is_a_name_or_one_name_with_arguments() {
    let part = |value: &str| {
        read(value, |field| {
            field.part().map(|part| (part.name, part.path))
        })
    };
    assert_eq!(part("random"), Ok("(\"random\", \"a\")".to_owned()));
    assert_eq!(
        part("{ ring: { key: host } }"),
        Ok("(\"ring\", \"a.ring\")".to_owned())
    );
    assert_eq!(
        part("[]"),
        Err("a list; expected a name, or a mapping of one name to its arguments".to_owned())
    );
    for (value, count) in [("{}", 0), ("{ x: 1, y: 2 }", 2)] {
        let expected = format!(
            "{count} names in one mapping; expected a name, or a mapping of one name to its arguments"
        );
        assert_eq!(part(value), Err(expected));
    }
}

#[test]
fn a_mapping_reports_missing_and_unknown_keys() {
    let report = Report::new("d");
    let node = Node::parse_yaml("nmae: x\nother: y\n", &report).expect("valid YAML");
    let mut fields = Field::new(&node, "part", &report)
        .mapping()
        .expect("a mapping");
    assert!(fields.required("name").is_none());
    assert!(fields.optional("value").is_none());
    fields.finish();
    let faults: Vec<_> = report.into_faults().iter().map(Fault::to_string).collect();
    let expected = [
        "d:1:1: part: `name` is missing",
        "d:1:1: part.nmae: unknown key; expected one of name, value; did you mean `name`?",
        "d:2:1: part.other: unknown key; expected one of name, value",
    ];
    assert_eq!(faults, expected);
}

#[test]
fn a_fault_quotes_little_and_escapes_it() {
    let long = format!("\"{}\"", "é".repeat(500));
    let fault = read(&long, |field| field.integer(0..=1)).expect_err("no number");
    assert!(
        fault.starts_with(&format!("the text `{}…`;", "é".repeat(60))),
        "{fault}"
    );
    assert_eq!(
        read("\"a\\nb\\e[31m\"", |field| field.one_of(&[("x", ())])),
        Err("`a\\nb\\u{1b}[31m`; expected one of x".to_owned())
    );
}
