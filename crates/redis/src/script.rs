//! Scripts, which Redis runs as one step.

use redis::{Cmd, ErrorKind, RedisResult, ServerErrorKind, cmd};

use crate::connect::Connection;

/// A script in Lua, which returns whole numbers.
#[derive(Debug)]
pub struct Script {
    code: &'static str,
    hash: String,
}

impl Script {
    /// A script of this text.
    pub fn new(code: &'static str) -> Script {
        let hash = redis::Script::new(code).get_hash().to_owned();
        Script { code, hash }
    }

    /// Runs it by its hash; where the server does not know the script yet, by its text.
    pub(crate) async fn run(
        &self,
        connection: &Connection,
        keys: &[&[u8]],
        numbers: &[i64],
    ) -> RedisResult<Vec<i64>> {
        let by = |how: &str, script: &str| -> Cmd {
            let mut asked = cmd(how);
            asked.arg(script).arg(keys.len()).arg(keys).arg(numbers);
            asked
        };
        let unknown = ErrorKind::Server(ServerErrorKind::NoScript);
        match connection.ask(&by("EVALSHA", &self.hash)).await {
            Err(error) if error.kind() == unknown => connection.ask(&by("EVAL", self.code)).await,
            answered => answered,
        }
    }
}
