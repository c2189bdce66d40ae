//! Removes a request header.

use http::HeaderName;
use pailou_config::Field;

use crate::{
    Edit, Next, RequestHead,
    header::{Way, only_name},
    registry::Entry,
};

pub(crate) const ENTRY: Entry = Entry::edit(
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
    fn request(&self, head: &mut RequestHead<'_>) -> Next {
        head.headers.remove(&self.name);
        Next::Continue
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use crate::registry::tests::{compiled, request_head};

    #[test]
    fn the_header_is_gone() {
        let edit = compiled("remove_request_header", "{ name: X-Env }").expect("legal");
        let mut headers = HeaderMap::new();
        headers.insert("x-env", "old".parse().expect("a value"));
        headers.insert("x-other", "kept".parse().expect("a value"));
        let _ = edit.request(&mut request_head("/", &mut headers));
        let values: Vec<&str> = headers
            .get_all("x-env")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        assert_eq!(values, [""; 0]);
        assert!(headers.contains_key("x-other"));
    }
}
