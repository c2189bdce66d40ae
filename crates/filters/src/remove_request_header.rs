//! Removes a request header.

use http::HeaderName;
use pailou_config::Field;

use crate::{
    Edit, RequestHead,
    header::{Way, only_name},
    registry::Entry,
};

pub(crate) const ENTRY: Entry = Entry::new(
    "remove_request_header",
    "{ name }",
    "Removes a request header.",
    compile,
);

#[derive(Debug)]
struct RemoveRequestHeader {
    name: HeaderName,
}

fn compile(field: &Field<'_>) -> Option<Box<dyn Edit>> {
    Some(Box::new(RemoveRequestHeader {
        name: only_name(field, Way::Request)?,
    }))
}

impl Edit for RemoveRequestHeader {
    fn request(&self, head: &mut RequestHead<'_>) {
        head.headers.remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::registry::tests::compiled;

    #[test]
    fn the_header_is_gone() {
        let edit = compiled("remove_request_header", "{ name: X-Env }").expect("legal");
        let mut headers = HeaderMap::new();
        headers.insert("x-env", "old".parse().expect("a value"));
        headers.insert("x-other", "kept".parse().expect("a value"));
        edit.request(&mut RequestHead {
            path: "/".into(),
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
