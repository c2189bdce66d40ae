//! `SetRequestHostHeader`: the Host header that the endpoint gets.

use http::uri::Authority;
use http::{HeaderValue, header};
use pailou_config::{ScgArgs, Shortcut};

use super::text;
use crate::{Edit, Next, RequestHead, Rule, Scope, Step, registry::Entry};

pub(crate) const ENTRY: Entry = Entry::scg(
    "SetRequestHostHeader",
    "host",
    "Gives the endpoint this Host header, in the place of its own name.",
    Shortcut::Fields(&["host"]),
    compile,
);

#[derive(Debug)]
struct SetRequestHostHeader(HeaderValue);

fn compile(args: &ScgArgs<'_>, _: &Scope<'_>) -> Option<Vec<Step>> {
    let host = text(args, "host")?;
    let is_host = |text: &str| Authority::try_from(text).is_ok() && !text.contains('@');
    let value = HeaderValue::from_str(host.text()).ok();
    let Some(value) = value.filter(|_| is_host(host.text())) else {
        host.fault_expected(
            format!("{} is not a host", host.quoted()),
            "a host name, and a port perhaps",
        );
        return None;
    };
    Some(vec![
        Step::Edit(Box::new(SetRequestHostHeader(value))),
        Step::Rule(Rule::PreserveHost),
    ])
}

impl Edit for SetRequestHostHeader {
    fn request(&self, head: &mut RequestHead<'_>) -> Next {
        head.headers.insert(header::HOST, self.0.clone());
        Next::Continue
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use crate::registry::tests::{request_head, steps};
    use crate::{Rule, Step};

    #[test]
    fn the_endpoint_gets_this_host() {
        let (steps, _) = steps("SetRequestHostHeader", "set.test:81", &[]).expect("legal");
        let [Step::Edit(edit), Step::Rule(Rule::PreserveHost)] = &steps[..] else {
            panic!("{steps:?}");
        };
        let mut headers = HeaderMap::new();
        headers.insert("host", "client.test".parse().expect("a value"));
        let _ = edit.request(&mut request_head("/", &mut headers));
        assert_eq!(headers["host"], "set.test:81");
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for host in ["a b", "user@host", "http://host", "~", "é.test"] {
            steps("SetRequestHostHeader", host, &[]).expect_err(host);
        }
    }
}
