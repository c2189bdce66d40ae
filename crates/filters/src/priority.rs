//! How much a route's requests matter.

use pailou_config::Field;

use crate::{Rule, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::rule(
    "priority",
    "low",
    "Says how much the route's requests matter when there are more than can be served well: `high`, `normal` or `low`, as `overload` in gateway.yaml has it.",
    compile,
);

/// How much a request matters. The order is theirs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Shed first.
    Low,
    /// What a route has that says nothing.
    #[default]
    Normal,
    /// Shed last.
    High,
}

impl Priority {
    const WORDS: &[(&str, Priority)] = &[
        ("high", Priority::High),
        ("normal", Priority::Normal),
        ("low", Priority::Low),
    ];

    /// The priority that a text names.
    pub fn parse(text: &[u8]) -> Option<Priority> {
        let mut words = Priority::WORDS.iter();
        let found = words.find(|(word, _)| text.eq_ignore_ascii_case(word.as_bytes()));
        found.map(|(_, priority)| *priority)
    }

    /// Its label in metrics.
    pub fn word(self) -> &'static str {
        match self {
            Priority::Low => "low",
            Priority::Normal => "normal",
            Priority::High => "high",
        }
    }
}

fn compile(field: &Field<'_>) -> Option<Rule> {
    field.one_of(Priority::WORDS).map(Rule::Priority)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Step;
    use crate::registry::tests::step;

    #[test]
    fn it_is_one_of_three() {
        for (text, priority) in [
            ("high", Priority::High),
            ("normal", Priority::Normal),
            ("low", Priority::Low),
        ] {
            let compiled = step("priority", text).expect(text);
            let Step::Rule(Rule::Priority(found)) = compiled else {
                panic!("{compiled:?}");
            };
            assert_eq!((found, found.word()), (priority, text));
            assert_eq!(Priority::parse(text.as_bytes()), Some(priority));
        }
        assert!(Priority::Low < Priority::Normal && Priority::Normal < Priority::High);
        assert_eq!(Priority::parse(b"urgent"), None);
        let error = step("priority", "urgent").expect_err("not one");
        assert!(error.contains("high, normal, low"), "{error}");
    }
}
