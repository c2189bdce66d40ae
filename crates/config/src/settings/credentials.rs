//! Where filters find the keys and credentials that they name.

use std::path::PathBuf;

use super::{
    kind::{FilePath, Maybe},
    schema::section,
    values::NAME,
};

section! {
    /// Where filters such as `jwt`, `api_key` and `basic_auth` find the files and Nacos configs that they name. Both are followed
    /// while the gateway runs. Who may write routes can name what is here and nothing else.
    CredentialSettings in "credentials" {
        /// The folder of the files; a filter names a file by its path below it, without `..`. Unless given, no filter can name one.
        folder: Option<PathBuf> = None, Maybe(FilePath);
        /// The group of the configs, in the namespace of `nacos`; `nacos.group` unless given.
        group: Option<String> = None, Maybe(NAME);
    }
}
