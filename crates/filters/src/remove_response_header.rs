//! Removes a response header.

use http::HeaderName;
use pailou_config::Field;

use crate::{
    Edit, ResponseHead,
    header::{Way, only_name},
    registry::Entry,
};

pub(crate) const ENTRY: Entry = Entry::edit(
    "remove_response_header",
    "{ name }",
    "Removes a response header.",
    compile,
);

#[derive(Debug)]
struct RemoveResponseHeader {
    name: HeaderName,
}

fn compile(field: &Field<'_>) -> Option<Box<dyn Edit>> {
    Some(Box::new(RemoveResponseHeader {
        name: only_name(field, Way::Response)?,
    }))
}

impl Edit for RemoveResponseHeader {
    fn response(&self, head: &mut ResponseHead<'_>) {
        head.headers.remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::registry::tests::compiled;
    use crate::registry::tests::facts;

    #[test]
    fn the_header_is_gone() {
        let edit = compiled("remove_response_header", "{ name: X-Env }").expect("legal");
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
        assert_eq!(values, [""; 0]);
        assert!(headers.contains_key("x-other"));
    }
}
