//! The discovery locator: a route for each service.
//!
//! Spring's makes one for every service that is registered, which opens all of them to whoever reaches the gateway. Here
//! only services get one that `scg.locator` in `gateway.yaml` lists, and their routes come last. Of Spring's expressions
//! texts, `serviceId` and `+` are read, and nothing is ever evaluated.

use super::relaxed::Relaxed;
use crate::{
    fault::Position,
    field::Field,
    node::{Key, Node, Scalar, Value},
};

/// What Spring calls the routes.
const ID_PREFIX: &str = "ReactiveCompositeDiscoveryClient_";

/// The locator of a document.
#[derive(Debug)]
pub(super) struct Locator {
    at: Position,
    id_prefix: String,
    is_lower_case: bool,
    include: Include,
    uri: Expression,
    /// Definitions whose arguments are expressions, in place of the usual ones.
    predicates: Option<Vec<Node>>,
    filters: Option<Vec<Node>>,
}

/// Which services get a route.
#[derive(Debug)]
enum Include {
    All,
    Named(String),
    StartingWith(String),
}

/// A text that is put together: pieces of it, and the service's name.
#[derive(Debug, PartialEq, Eq)]
struct Expression(Vec<Piece>);

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    ServiceId,
}

impl Locator {
    /// Reads `discovery` of a gateway. `None` if it asks for no routes; `Some(None)` if it asks for some that cannot be made,
    /// which is a warning.
    pub(super) fn read(field: &Field<'_>) -> Option<Option<Locator>> {
        let locator = Relaxed::read(field)?.take("locator")?;
        let mut keys = Relaxed::read(&locator)?;
        let enabled = keys.take("enabled")?;
        is_true(&enabled).then(|| Locator::enabled(&locator, keys))
    }

    fn enabled(locator: &Field<'_>, mut keys: Relaxed<'_>) -> Option<Locator> {
        let include = match keys.take("include-expression") {
            Some(field) => include(&field)?,
            None => Include::All,
        };
        let uri = match keys.take("url-expression") {
            Some(field) => expression(&field)?,
            None => Expression(vec![Piece::Text("lb://".to_owned()), Piece::ServiceId]),
        };
        let id_prefix = keys.take("route-id-prefix");
        let predicates = keys.take("predicates").and_then(|field| field.sequence());
        let filters = keys.take("filters").and_then(|field| field.sequence());
        let nodes = |list: Option<Vec<Field<'_>>>| {
            list.map(|list| list.iter().map(|field| field.node().clone()).collect())
        };
        let locator = Locator {
            at: locator.at(),
            id_prefix: match id_prefix {
                Some(prefix) => prefix.string()?,
                None => ID_PREFIX.to_owned(),
            },
            is_lower_case: keys
                .take("lower-case-service-id")
                .is_some_and(|field| is_true(&field)),
            include,
            uri,
            predicates: nodes(predicates),
            filters: nodes(filters),
        };
        for (key, value) in keys.rest() {
            value.warn(format!(
                "`{}` of the locator is not read",
                key.text.escape_debug()
            ));
        }
        Some(locator)
    }

    /// Where it stands.
    pub(super) fn at(&self) -> Position {
        self.at
    }

    /// The definition of the route of a service, unless the locator leaves the service out; or the expression that cannot
    /// be read.
    pub(super) fn definition(&self, service: &str) -> Option<Result<Node, String>> {
        let is_included = match &self.include {
            Include::All => true,
            Include::Named(name) => name == service,
            Include::StartingWith(prefix) => service.starts_with(prefix),
        };
        is_included.then(|| self.route(service))
    }

    fn route(&self, service: &str) -> Result<Node, String> {
        let shown = match self.is_lower_case {
            true => service.to_ascii_lowercase(),
            false => service.to_owned(),
        };
        let usual = |name: &str, args: &[(&str, String)]| {
            let args = args.iter().map(|(key, text)| (*key, self.text(text)));
            let args = self.mapping(args.collect());
            self.list(vec![
                self.mapping(vec![("name", self.text(name)), ("args", args)]),
            ])
        };
        let parts = |given: &Option<Vec<Node>>, usual: Node| match given {
            Some(parts) => parts
                .iter()
                .map(|part| evaluated(part, &shown, false))
                .collect::<Result<Vec<_>, _>>()
                .map(|parts| self.list(parts)),
            None => Ok(usual),
        };
        let pattern = [("pattern", format!("/{shown}/**"))];
        let rewrite = [
            ("regexp", format!("/{shown}/?(?<remaining>.*)")),
            ("replacement", "/${remaining}".to_owned()),
        ];
        let predicates = parts(&self.predicates, usual("Path", &pattern))?;
        let filters = parts(&self.filters, usual("RewritePath", &rewrite))?;
        Ok(self.mapping(vec![
            ("id", self.text(&format!("{}{service}", self.id_prefix))),
            ("uri", self.text(&self.uri.of(service))),
            ("predicates", predicates),
            ("filters", filters),
            // After every route that somebody wrote.
            ("order", self.text(&i32::MAX.to_string())),
        ]))
    }

    fn text(&self, text: &str) -> Node {
        Node::scalar(text, self.at)
    }

    fn list(&self, items: Vec<Node>) -> Node {
        Node {
            value: Value::Sequence(items),
            at: self.at,
        }
    }

    fn mapping(&self, entries: Vec<(&str, Node)>) -> Node {
        let key = |text: &str| Key {
            text: text.to_owned(),
            at: self.at,
        };
        let entries = entries.into_iter();
        Node {
            value: Value::Mapping(entries.map(|(name, node)| (key(name), node)).collect()),
            at: self.at,
        }
    }
}

impl Expression {
    /// `'lb://' + serviceId`
    fn parse(text: &str) -> Option<Expression> {
        let mut pieces = Vec::new();
        let mut rest = text.trim();
        loop {
            let (piece, after) = match rest.strip_prefix('\'') {
                Some(quoted) => {
                    let end = quoted.find('\'')?;
                    (Piece::Text(quoted[..end].to_owned()), &quoted[end + 1..])
                }
                None => (Piece::ServiceId, rest.strip_prefix("serviceId")?),
            };
            pieces.push(piece);
            rest = after.trim_start();
            if rest.is_empty() {
                return Some(Expression(pieces));
            }
            rest = rest.strip_prefix('+')?.trim_start();
        }
    }

    fn of(&self, service: &str) -> String {
        let pieces = self.0.iter();
        pieces
            .map(|piece| match piece {
                Piece::Text(text) => text.as_str(),
                Piece::ServiceId => service,
            })
            .collect()
    }
}

fn is_true(field: &Field<'_>) -> bool {
    let text = field.string();
    text.is_some_and(|text| text.eq_ignore_ascii_case("true"))
}

fn expression(field: &Field<'_>) -> Option<Expression> {
    let expression = Expression::parse(&field.string()?);
    if expression.is_none() {
        field.warn(format!(
            "{}: of expressions only texts, `serviceId` and `+` are read; no service gets a route by itself",
            field.quoted()
        ));
    }
    expression
}

fn include(field: &Field<'_>) -> Option<Include> {
    let text = field.string()?;
    let text = text.trim();
    let quoted = |rest: &str, end: &str| {
        let rest = rest.trim().strip_prefix('\'')?.strip_suffix(end)?;
        (!rest.contains('\'')).then(|| rest.to_owned())
    };
    let rest = text.strip_prefix("serviceId").map(str::trim_start);
    let include = match rest {
        _ if text == "true" => Some(Include::All),
        Some(rest) => rest
            .strip_prefix("==")
            .and_then(|rest| quoted(rest, "'"))
            .map(Include::Named)
            .or_else(|| {
                let rest = rest.strip_prefix(".startsWith(")?;
                quoted(rest, "')").map(Include::StartingWith)
            }),
        None => None,
    };
    if include.is_none() {
        field.warn(format!(
            "{}: expected `true`, `serviceId == 'NAME'` or `serviceId.startsWith('BEGINNING')`; no service gets a route by itself",
            field.quoted()
        ));
    }
    include
}

/// A definition with its arguments' expressions put in. The name of a part is no expression.
fn evaluated(node: &Node, service: &str, is_argument: bool) -> Result<Node, String> {
    let value = match &node.value {
        Value::Scalar(scalar) if is_argument => {
            let expression = Expression::parse(&scalar.text).ok_or_else(|| scalar.text.clone())?;
            Value::Scalar(Scalar {
                text: expression.of(service),
                quoted: true,
            })
        }
        Value::Sequence(items) => Value::Sequence(
            items
                .iter()
                .map(|item| evaluated(item, service, is_argument))
                .collect::<Result<_, _>>()?,
        ),
        Value::Mapping(entries) => Value::Mapping(
            entries
                .iter()
                .map(|(key, node)| {
                    let is_argument = is_argument || key.text == "args";
                    Ok((key.clone(), evaluated(node, service, is_argument)?))
                })
                .collect::<Result<_, String>>()?,
        ),
        other => other.clone(),
    };
    Ok(Node { value, at: node.at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_the_name_are_put_together_and_nothing_else_is_read() {
        for (text, expected) in [
            ("'lb://'+serviceId", Some("lb://users")),
            ("'/' + serviceId + '/**'", Some("/users/**")),
            ("serviceId", Some("users")),
            ("'/${remaining}'", Some("/${remaining}")),
            ("", None),
            ("lb://x", None),
            ("'a' + ", None),
            ("'a", None),
            ("serviceId.toUpperCase()", None),
            ("T(java.lang.Runtime)", None),
            ("metadata['a']", None),
        ] {
            let read = Expression::parse(text).map(|expression| expression.of("users"));
            assert_eq!(read.as_deref(), expected, "{text}");
        }
    }
}
