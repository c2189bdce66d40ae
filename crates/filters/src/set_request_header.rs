//! Gives a request header one value, in the place of those it had.

use http::{HeaderName, HeaderValue};
use pailou_config::Field;

use crate::{
    Edit, Next, RequestHead,
    header::{Way, name_and_value},
    registry::Entry,
};

pub(crate) const ENTRY: Entry = Entry::edit(
    "set_request_header",
    "{ name, value }",
    "Gives a request header one value, in the place of those it had.",
    compile,
);

#[derive(Debug)]
struct SetRequestHeader {
    name: HeaderName,
    value: HeaderValue,
}

fn compile(field: &Field<'_>) -> Option<Box<dyn Edit>> {
    let (name, value) = name_and_value(field, Way::Request)?;
    Some(Box::new(SetRequestHeader { name, value }))
}

impl Edit for SetRequestHeader {
    fn request(&self, head: &mut RequestHead<'_>) -> Next {
        head.headers.insert(&self.name, self.value.clone());
        Next::Continue
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use crate::registry::tests::{compiled, request_head};

    #[test]
    fn the_header_has_the_new_value_only() {
        let edit = compiled("set_request_header", "{ name: X-Env, value: new }").expect("legal");
        let mut headers = HeaderMap::new();
        headers.insert("x-env", "old".parse().expect("a value"));
        headers.insert("x-other", "kept".parse().expect("a value"));
        let _ = edit.request(&mut request_head("/", &mut headers));
        let values: Vec<&str> = headers
            .get_all("x-env")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        assert_eq!(values, ["new"]);
        assert!(headers.contains_key("x-other"));
    }
}
