//! Adds a value to a response header, after those it has.

use http::{HeaderName, HeaderValue};
use pailou_config::Field;

use crate::{
    Edit, ResponseHead,
    header::{Way, name_and_value},
    registry::Entry,
};

pub(crate) const ENTRY: Entry = Entry::edit(
    "add_response_header",
    "{ name, value }",
    "Adds a value to a response header, after those it has.",
    compile,
);

#[derive(Debug)]
struct AddResponseHeader {
    name: HeaderName,
    value: HeaderValue,
}

fn compile(field: &Field<'_>) -> Option<Box<dyn Edit>> {
    let (name, value) = name_and_value(field, Way::Response)?;
    Some(Box::new(AddResponseHeader { name, value }))
}

impl Edit for AddResponseHeader {
    fn response(&self, head: &mut ResponseHead<'_>) {
        head.headers.append(&self.name, self.value.clone());
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::registry::tests::compiled;
    use crate::registry::tests::facts;

    #[test]
    fn the_header_keeps_what_it_had() {
        let edit = compiled("add_response_header", "{ name: X-Env, value: new }").expect("legal");
        let mut headers = HeaderMap::new();
        headers.insert("x-env", "old".parse().expect("a value"));
        headers.insert("x-other", "kept".parse().expect("a value"));
        edit.response(&mut ResponseHead {
            facts: facts(),
            note: None,
            status: http::StatusCode::OK,
            headers: &mut headers,
        });
        let values: Vec<&str> = headers
            .get_all("x-env")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        assert_eq!(values, ["old", "new"]);
        assert!(headers.contains_key("x-other"));
    }
}
