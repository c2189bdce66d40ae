//! Which route: targets, predicates, the compiled table and its index.
