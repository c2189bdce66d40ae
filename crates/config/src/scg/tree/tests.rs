use super::*;

fn shown(tree: Tree) -> (String, Vec<String>) {
    let report = Report::new("d");
    let node = tree.into_node("", &report);
    let faults = report.into_faults();
    (
        serde_json::to_string(&node).expect("plain data"),
        faults.iter().map(ToString::to_string).collect(),
    )
}

fn yaml(text: &str) -> Tree {
    let report = Report::new("d");
    Tree::of_node(Node::parse_yaml(text, &report).expect("valid YAML"))
}

fn properties(pairs: &[(&str, &str)]) -> Tree {
    let at = Position { line: 1, column: 1 };
    let mut tree = Tree::empty(at);
    for (key, value) in pairs {
        tree.insert(key, at, Tree::Leaf(Node::scalar(*value, at)));
    }
    tree
}

#[test]
fn dots_and_brackets_in_keys_nest() {
    for (tree, expected) in [
        (yaml("a.b: 1\na.c: 2\n"), r#"{"a":{"b":"1","c":"2"}}"#),
        (yaml("a: {b.c: 1}"), r#"{"a":{"b":{"c":"1"}}}"#),
        (
            yaml("routes[0].id: x\nroutes[0].predicates[0]: Path=/x\n"),
            r#"{"routes":[{"id":"x","predicates":["Path=/x"]}]}"#,
        ),
        (
            yaml("connect-timeout: 1\nconnectTimeout.x: 2\n"),
            r#"{"connect-timeout":{"x":"2"}}"#,
        ),
        // Those of arguments are names of their own.
        (
            yaml("- args: {patterns.0: /a.b, 'x[0]': 1}"),
            r#"[{"args":{"patterns.0":"/a.b","x[0]":"1"}}]"#,
        ),
        (
            properties(&[
                ("f[0].name", "L"),
                ("f[0].args.redis-rate-limiter.replenishRate", "1"),
                ("f[0].args.patterns[0]", "/a"),
            ]),
            r#"{"f":[{"name":"L","args":{"redis-rate-limiter.replenishRate":"1","patterns[0]":"/a"}}]}"#,
        ),
        (
            properties(&[
                ("cors[/**].allowed-origins[0]", "a"),
                ("cors.[/a.b/**].maxAge", "1"),
            ]),
            r#"{"cors":{"[/**]":{"allowed-origins":["a"]},"[/a.b/**]":{"maxAge":"1"}}}"#,
        ),
        (
            yaml("cors: {'[/**]': {a.b: 1}}"),
            r#"{"cors":{"[/**]":{"a":{"b":"1"}}}}"#,
        ),
        (
            properties(&[("r.1.id", "b"), ("r.0.id", "a")]),
            r#"{"r":[{"id":"a"},{"id":"b"}]}"#,
        ),
    ] {
        let (shown, faults) = shown(tree);
        assert_eq!(shown, expected);
        assert_eq!(faults, [""; 0], "{shown}");
    }
}

#[test]
fn a_list_with_a_hole_is_said() {
    let tree = properties(&[("r[4294967295].id", "b"), ("r[0].id", "a")]);
    let (shown, faults) = shown(tree);
    assert_eq!(shown, r#"{"r":[{"id":"a"},{"id":"b"}]}"#);
    assert_eq!(
        faults,
        ["d:1:1: warning: r: item 1 is missing; the others are used in their order"]
    );
}

#[test]
fn later_sources_win_and_lists_are_replaced_whole() {
    let mut tree = yaml("a: {x: 1, y: [1, 2]}\nb: 1\n");
    assert!(tree.merge(yaml("a.y: [3]\nc: 2\n")));
    assert_eq!(
        shown(tree).0,
        r#"{"a":{"x":"1","y":["3"]},"b":"1","c":"2"}"#
    );
    let mut tree = yaml("default-filters: [a]\n");
    assert!(tree.merge(yaml("defaultFilters: [b]\n")));
    assert_eq!(shown(tree).0, r#"{"default-filters":["b"]}"#);
    let mut tree = yaml("a: 1");
    assert!(!tree.merge(yaml("b: 1")));
    let at = Position { line: 9, column: 1 };
    assert!(tree.insert("a", at, Tree::Leaf(Node::scalar("2", at))));
}

#[test]
fn a_part_can_be_taken_out_by_its_relaxed_names() {
    let mut tree = yaml("Spring: {cloud.gateway: {routes: []}}");
    let gateway = tree.take_path(&["spring", "cloud", "gateway"]);
    assert_eq!(shown(gateway.expect("it is there")).0, r#"{"routes":[]}"#);
    assert!(tree.take_path(&["spring", "redis"]).is_none());
    assert!(yaml("x").take_path(&["x"]).is_none());
    // The rest stays.
    let mut tree = yaml("spring: {profiles: dev, cloud: {gateway: 1}}");
    assert!(tree.take_path(&["spring", "profiles"]).is_some());
    assert!(tree.take_path(&["spring", "cloud", "gateway"]).is_some());
}

#[test]
fn absurd_keys_neither_fail_nor_take_long() {
    let deep = "a.".repeat(100_000);
    let (shown, _) = shown(properties(&[(&deep, "1")]));
    assert!(shown.len() < 300_000);
    for key in [
        "",
        ".",
        "..",
        "[",
        "[]",
        "]",
        "a[",
        "[0]",
        "a..b",
        "[99999999999]",
    ] {
        let mut tree = Tree::empty(Position { line: 1, column: 1 });
        let at = tree.position();
        tree.insert(key, at, Tree::Leaf(Node::scalar("1", at)));
        tree.insert(key, at, Tree::Leaf(Node::scalar("2", at)));
    }
}
