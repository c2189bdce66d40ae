//! A small in-memory Nacos server for development and tests.
