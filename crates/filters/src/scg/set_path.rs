//! `SetPath`: another path takes the place of the path.

use pailou_config::{ScgArgs, Shortcut};

use super::{edit, failed, path, template::Template, text};
use crate::{Edit, Next, RequestHead, Scope, Step, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::scg(
    "SetPath",
    "template",
    "Puts another path in the place of the path; `{name}` in it is a variable. The query stays.",
    Shortcut::Fields(&["template"]),
    compile,
);

/// Cost: the text of the path.
#[derive(Debug)]
struct SetPath(Template);

fn compile(args: &ScgArgs<'_>, scope: &Scope<'_>) -> Option<Vec<Step>> {
    let template = text(args, "template")?;
    edit(SetPath(path::template(&template, scope)?))
}

impl Edit for SetPath {
    fn request(&self, head: &mut RequestHead<'_>) -> Next {
        let Ok(path) = self.0.expand(&head.facts.bindings, path::encode_value) else {
            return failed();
        };
        path::put(head, &path);
        Next::Continue
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use crate::Next;
    use crate::registry::tests::steps;
    use crate::scg::testing::{bound, edit, send};

    #[test]
    fn the_path_is_the_templates() {
        for (template, value, path) in [
            ("/s/{v}", "12", "/s/12?q=%20"),
            ("/s/{v}", "12 3", "/s/12%203?q=%20"),
            ("/s/{v}", "a/b", "/s/a%2Fb?q=%20"),
            ("/s/{v}", "100%", "/s/100%25?q=%20"),
            ("/s/{v}", "你", "/s/%E4%BD%A0?q=%20"),
            ("/s/{v}", "a+b", "/s/a+b?q=%20"),
            ("/fixed", "", "/fixed?q=%20"),
            ("/a b?x=1", "", "/a%20b?q=%20"),
            ("/{x", "", "/%7Bx?q=%20"),
            ("//a//{v}", "1", "/a/1?q=%20"),
        ] {
            let step = edit("SetPath", template, &["v"]).expect(template);
            let sent = send(
                &*step,
                &bound(&[("v", value)]),
                "/k?q=%20",
                HeaderMap::new(),
            );
            assert_eq!(sent.target, path, "{template} with {value}");
        }
        let (_, warnings) = steps("SetPath", "/a?x=1", &[]).expect("legal");
        assert!(warnings.contains("`?x=1`"), "{warnings}");
    }

    #[test]
    fn what_spring_answers_with_500_is_refused() {
        for (template, problem) in [
            ("fixed", "would not begin with `/`"),
            ("/s/{nov}", "binds `{nov}`; expected one of `{v}`"),
            ("~", "`template` is missing"),
        ] {
            let error = edit("SetPath", template, &["v"]).expect_err(template);
            assert!(error.contains(problem), "{template}: {error}");
        }
    }

    #[test]
    fn a_variable_of_another_pattern_is_an_error() {
        let step = edit("SetPath", "/s/{v}", &["v"]).expect("legal");
        let sent = send(&*step, &bound(&[("w", "1")]), "/k", HeaderMap::new());
        let Next::Answer(answer) = sent.next else {
            panic!("nothing to set");
        };
        assert_eq!(answer.status, 500);
    }
}
