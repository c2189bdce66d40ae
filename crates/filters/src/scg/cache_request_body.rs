//! `CacheRequestBody`: nothing here, since a body is kept as far as a retry needs it.

use pailou_config::{ScgArgs, Shortcut};

use crate::{Scope, Step, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::scg(
    "CacheRequestBody",
    "bodyClass",
    "Does nothing: a body is kept for retries in any case, as long as it is short.",
    Shortcut::Fields(&["bodyClass"]),
    compile,
);

fn compile(args: &ScgArgs<'_>, _: &Scope<'_>) -> Option<Vec<Step>> {
    if let Some(class) = args.get("bodyClass") {
        class.warn("nothing is to be done: a short body is kept for retries in any case, and no Java class reads it");
    }
    Some(Vec::new())
}

#[cfg(test)]
mod tests {
    use crate::registry::tests::steps;

    #[test]
    fn it_is_no_step_and_says_so() {
        let (steps, warnings) = steps("CacheRequestBody", "java.lang.String", &[]).expect("legal");
        assert!(steps.is_empty());
        assert!(warnings.contains("nothing is to be done"), "{warnings}");
    }
}
