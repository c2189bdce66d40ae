//! The predicates of Spring Cloud Gateway, by the names that its documents give them.

mod decode;
pub(crate) mod spring_host;
pub(crate) mod spring_path;
