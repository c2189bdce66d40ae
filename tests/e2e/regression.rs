//! Bugs that were fixed, each with its story.
