//! Values and the expressions that they are held against.

use std::fmt;

use pailou_config::ScgArg;
use pailou_filters::JavaRegex;

/// A name, and what one of its values has to match as a whole, if anything.
#[derive(Debug)]
pub(super) struct Wanted<N> {
    pub(super) name: N,
    pub(super) regexp: Option<JavaRegex>,
}

impl<N: fmt::Display> fmt::Display for Wanted<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.regexp {
            Some(regexp) => write!(f, "{} matches {regexp}", self.name),
            None => write!(f, "{} present", self.name),
        }
    }
}

/// Reads an expression that whole values are held against; an empty one is none. `Err` when it is refused, which is reported.
pub(super) fn regexp(arg: Option<ScgArg<'_>>) -> Result<Option<JavaRegex>, ()> {
    let Some(arg) = arg.filter(|arg| !arg.text().is_empty()) else {
        return Ok(None);
    };
    match JavaRegex::whole(arg.text()) {
        Ok(regex) => Ok(Some(regex)),
        Err(error) => {
            arg.fault(format!("{}: {error}", arg.quoted()));
            Err(())
        }
    }
}
