//! `PreserveHostHeader`: the endpoint gets the client's Host header.

use pailou_config::{ScgArgs, Shortcut};

use crate::{Rule, Scope, Step, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::scg(
    "PreserveHostHeader",
    "-",
    "Gives the endpoint the Host header that the client sent, in the place of its own name.",
    Shortcut::Fields(&[]),
    compile,
);

fn compile(_: &ScgArgs<'_>, _: &Scope<'_>) -> Option<Vec<Step>> {
    Some(vec![Step::Rule(Rule::PreserveHost)])
}

#[cfg(test)]
mod tests {
    use crate::registry::tests::steps;
    use crate::{Rule, Step};

    #[test]
    fn it_is_a_rule() {
        let (steps, _) = steps("PreserveHostHeader", "~", &[]).expect("legal");
        assert!(matches!(steps[..], [Step::Rule(Rule::PreserveHost)]));
    }
}
