//! The commented example at the repository's root and the reference page follow the code, or these fail.

use std::{fmt::Write, fs, path::PathBuf};

use super::*;
use crate::{Node, Position, Value, load_settings, route_reference};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The example with every commented-out setting active: a comment whose first word is a key of its section and ends in `:`.
fn uncommented(example: &str) -> String {
    let sections = settings_reference();
    let mut section = "";
    let mut out = String::new();
    for line in example.lines() {
        let bare = line.trim_start();
        if !line.starts_with([' ', '#']) {
            section = line.split(':').next().unwrap_or_default();
        }
        let commented = bare
            .strip_prefix("# ")
            .and_then(|rest| rest.split_once(':').map(|(key, value)| (rest, key, value)));
        let is_setting = |key: &str| {
            let path = if line.starts_with('#') {
                key.to_owned()
            } else {
                format!("{section}.{key}")
            };
            sections
                .iter()
                .flat_map(|section| &section.keys)
                .any(|known| known.path == path)
        };
        match commented {
            // A key without a value is one that is unset by default, and stays a comment.
            Some((rest, key, value)) if is_setting(key) && !value.trim().is_empty() => {
                let _ = writeln!(out, "{}{rest}", &line[..line.len() - bare.len()]);
            }
            _ => {
                let _ = writeln!(out, "{line}");
            }
        }
    }
    out
}

#[test]
fn the_example_is_valid() {
    let loaded = load_settings(Some(&root().join("gateway.yaml")), &Environment::default());
    let mut loaded = loaded.unwrap_or_else(|faults| panic!("{faults:#?}"));
    assert_eq!(loaded.warnings, []);
    let defaults =
        load_settings(None, &Environment::default()).unwrap_or_else(|faults| panic!("{faults:#?}"));
    // What is relative starts at the folder of the file.
    let path = root().join("pailou-snapshot");
    assert_eq!(loaded.settings.snapshot.path.as_deref(), Some(&*path));
    loaded.settings.snapshot = defaults.settings.snapshot.clone();
    assert_eq!(
        loaded.settings, defaults.settings,
        "the example shows the defaults"
    );
}

#[test]
fn the_example_shows_every_setting_with_its_default() {
    let example = fs::read_to_string(root().join("gateway.yaml")).expect("the example");
    let text = uncommented(&example);
    let report = Report::new("gateway.yaml");
    let node = Node::parse_yaml(&text, &report).unwrap_or_else(|| panic!("{:#?}", report));
    let Value::Mapping(sections) = &node.value else {
        panic!("a mapping")
    };
    let is_active = |path: &str| {
        match path.split_once('.') {
        None => sections.iter().any(|(key, _)| key.text == path),
        Some((section, key)) => sections.iter().any(|(name, node)| {
            name.text == section && matches!(&node.value, Value::Mapping(keys) if keys.iter().any(|(k, _)| k.text == key))
        }),
    }
    };
    let mut section = "";
    let mut bare_comments = Vec::new();
    for line in example.lines() {
        if !line.starts_with([' ', '#']) {
            section = line.split(':').next().unwrap_or_default();
        }
        if let Some(key) = line
            .trim_start()
            .strip_prefix("# ")
            .and_then(|rest| rest.strip_suffix(':'))
        {
            bare_comments.push(format!("{section}.{key}"));
        }
    }
    for key in settings_reference()
        .iter()
        .flat_map(|section| &section.keys)
    {
        let is_shown = match (key.path.split_once("[]."), &key.default) {
            (Some((_, item)), _) => {
                let last = item.rsplit('.').next().unwrap_or(item);
                example.lines().any(|line| {
                    line.trim_start_matches([' ', '#', '-'])
                        .starts_with(&format!("{last}:"))
                })
            }
            (None, Some(_)) => is_active(&key.path),
            (None, None) => bare_comments.contains(&key.path),
        };
        assert!(is_shown, "gateway.yaml does not show {}", key.path);
    }
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("gateway.yaml"), &text).expect("a file");
    let loaded = load_settings(
        Some(&folder.path().join("gateway.yaml")),
        &Environment::default(),
    );
    let mut loaded = loaded.unwrap_or_else(|faults| panic!("{faults:#?}"));
    let mut defaults =
        load_settings(None, &Environment::default()).unwrap_or_else(|faults| panic!("{faults:#?}"));
    // A policy carries its path and position, which equality leaves out; nothing else differs.
    loaded.settings.defaults.balance.at = Position { line: 1, column: 1 };
    defaults.settings.defaults.balance.at = Position { line: 1, column: 1 };
    // What is relative starts at the folder of the file.
    let path = folder.path().join("pailou-snapshot");
    assert_eq!(loaded.settings.snapshot.path.as_deref(), Some(&*path));
    loaded.settings.snapshot = defaults.settings.snapshot.clone();
    assert_eq!(
        loaded.settings, defaults.settings,
        "a commented-out value is not the default"
    );
}

#[test]
fn the_reference_page_is_up_to_date() {
    let path = root().join("docs/configuration.md");
    let page = page();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &page).expect("the page is written");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/configuration.md is stale: run UPDATE=1 cargo test -p pailou-config reference_page"
    );
}

fn page() -> String {
    let mut page = String::from(INTRODUCTION);
    for section in settings_reference() {
        let title = if section.name.is_empty() {
            "Top level".to_owned()
        } else {
            format!("`{}`", section.name)
        };
        let _ = write!(page, "\n### {title}\n\n");
        if !section.about.is_empty() {
            let _ = write!(page, "{}\n\n", section.about);
        }
        if section.keys.is_empty() {
            continue;
        }
        page.push_str("| Key | Value | Default | What it does |\n|---|---|---|---|\n");
        for key in &section.keys {
            let default = key
                .default
                .as_ref()
                .map_or("–".to_owned(), |default| format!("`{default}`"));
            let others = key.variables.get(1..).unwrap_or_default();
            let others: String = others
                .iter()
                .map(|name| format!(" Also `{name}`."))
                .collect();
            let _ = writeln!(
                page,
                "| `{}` | {} | {default} | {}{others} |",
                key.path,
                cell(&key.kind),
                cell(&key.doc)
            );
        }
    }
    page.push_str(ROUTES);
    page.push_str("\n| Key | Value | What it does |\n|---|---|---|\n");
    for key in route_reference() {
        let _ = writeln!(
            page,
            "| `{}` | {} | {} |",
            key.path,
            cell(key.value),
            cell(key.doc)
        );
    }
    page
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

const INTRODUCTION: &str = "\
# Configuration

Written from the code by `UPDATE=1 cargo test -p pailou-config reference_page`; a test fails while it is stale.

The configuration of Pailou has two halves. `gateway.yaml` is the static half: listeners, Nacos, limits. It is read at the start, and a
change needs a restart, except for [some settings](operations.md#signals). The certificate files that it names are
[watched](tls.md#rotation). Route documents are the live half: Nacos configs or files that are read again whenever they change.

Both are YAML or JSON, and both are read strictly. An unknown key, a duplicate key, a value out of range and an unknown tag are faults.
A fault names line, column, path, what was expected and the nearest valid name, and one run finds all faults. Merge keys (`<<`) and
aliases work, within bounds. Scalars keep their text: the version `1.10` stays `1.10`. `pailou check FILE…` checks both kinds without
serving.

## gateway.yaml

The commented example is [`gateway.yaml`](../gateway.yaml). A duration needs a unit (`500ms`, `5s`, `2m`, `1h`). A size may have one
(`64KiB`, `10MiB`, `1GiB`); without a unit it is in bytes. Relative paths start at the folder of `gateway.yaml`.

The environment can set every setting, and takes precedence over the file. The variable is `PAILOU_` and the path in capitals, with `_`
for `.`: `nacos.grpc_port` is `PAILOU_NACOS_GRPC_PORT`. A list has commas (`PAILOU_LISTENERS=0.0.0.0:80,0.0.0.0:81`), and a mapping is
`name=value,name=value`. Some settings have a second variable, which people already use; the tables name it, and it comes after the
first. An empty variable counts as unset. A `PAILOU_` variable that sets nothing causes a warning. `NACOS_SERVICE_PORT` is ignored if
`NACOS_SERVICE_HOST` exists, since Kubernetes sets both for a Service named `nacos`. `pailou run --print-config` shows every effective
value and the place that it came from. Secrets show as `***`, there and everywhere else.
";

const ROUTES: &str = "
## Route documents

A document is a mapping `routes` of ids to routes, at most 4 MiB. An id that begins with `/` is the route's path as well, and the value
of such an id may be just the name of a service:

```yaml
routes:
  /api/users/**: user-service
  /api/orders/**:
    service: order-service
    strip_prefix: 1
    balance: least_request
    timeout: 5s
  users-canary:
    path: /api/users/**
    match: { headers: { x-canary: \"true\" } }
    service: { name: user-service, metadata: { version: v2 } }
    filters: [ { set_request_header: { name: x-env, value: canary } } ]
```

A document with any fault is refused as a whole, and its last good version stays. It also stays when the document is blank or deleted.
To have no routes, publish `routes: {}`. Which route takes a request does not depend on the route's position in the document.

### The form of Spring Cloud Gateway

A document may be one that Spring Cloud Gateway reads. Its content shows the form, or `form: scg` in the item of `routes` sets it. These
forms are read:

- YAML with `spring.cloud.gateway.routes` or `spring.cloud.gateway.server.webflux.routes`, also among other keys of an application;
  with several parts for profiles (`scg.profiles`), dots in keys, and names in Spring's relaxed spellings.
- Properties with the same keys.
- JSON: a list of route definitions, alone or as `routeList` of an object. Arguments may be a mapping (`_genkey_0` too), a list or
  one text; of two definitions with one id the last stays.

In such a document each route is judged alone. A route that cannot run is refused with its id, the field and the reason, and its last
good version stays. Routes with the same `order` stand in the order of the document, after native routes. `default-filters` take turns
with a route's own filters, as in Spring. `globalcors` and `metadata.cors` become a step in front of the filters. Time-outs come from
`httpclient` and from `metadata`. `metadata.nacos` takes the keys of a native route's `service`, except the name:
`metadata: { nacos: { group: G, cluster: C, metadata: { version: v2 } } }`. No expression is evaluated: `#{@name}` is looked up in
`scg.beans`, `${NAME:default}` is filled in if `scg.placeholders` has the name, and a route with any other expression is refused. A
warning names what is read differently, and what is not read.

To have no routes, publish `[]` as the list. A document without a list of routes is refused.
";
