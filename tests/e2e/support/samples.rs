//! The samples of `examples/`, as processes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::gateway::binary;
use super::ports::free_port;
use super::process::Process;
use super::world::World;

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// What to do where Python is missing: these cases fail then, they are not left out.
const NEEDS_PYTHON: &str = "the cases of the FastAPI sample need Python 3.11 or later with its venv module (apt \
                            install python3 python3-venv) and, the first time, a package index";

/// A running sample.
pub(crate) struct Sample {
    pub(crate) process: Process,
    /// The service that it registers under.
    pub(crate) service: &'static str,
    /// Where it listens.
    pub(crate) port: u16,
}

impl Sample {
    /// The FastAPI sample, with a world's registry.
    pub(crate) fn fastapi(world: &World, variables: &[(&str, &str)]) -> Sample {
        let mut command = Command::new(python());
        command
            .args(["-m", "user_service"])
            .current_dir(Path::new(REPOSITORY).join("examples/fastapi-user-service"))
            .env("PYTHONDONTWRITEBYTECODE", "1");
        Sample::start("fastapi-user-service", command, world, variables)
    }

    /// The axum sample, with a world's registry.
    pub(crate) fn orders(world: &World, variables: &[(&str, &str)]) -> Sample {
        Sample::start(
            "order-service",
            Command::new(order_service()),
            world,
            variables,
        )
    }

    fn start(
        service: &'static str,
        mut command: Command,
        world: &World,
        variables: &[(&str, &str)],
    ) -> Sample {
        let port = free_port();
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("NACOS_")) {
            command.env_remove(name);
        }
        command
            .env("NACOS_SERVER_ADDR", world.http().to_string())
            .env("NACOS_GRPC_PORT", world.grpc().port().to_string())
            .env("NACOS_SERVICE_IP", "127.0.0.1")
            .env("NACOS_SERVICE_PORT", port.to_string())
            .env("HOST", "127.0.0.1")
            .env("PORT", port.to_string())
            .envs(variables.iter().copied());
        Sample {
            process: Process::spawn(service, &mut command),
            service,
            port,
        }
    }

    /// A URL of its own port, past the gateway.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Whether Nacos lists it.
    pub(crate) fn is_listed(&self, world: &World) -> bool {
        world
            .instances(self.service)
            .iter()
            .any(|instance| instance.port == self.port)
    }
}

/// The interpreter of `.venv`, which `tools/venv` makes once and `make test` shares.
fn python() -> &'static Path {
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    found(PYTHON.get_or_init(|| {
        run(Command::new("bash").arg("tools/venv"))
            .map_err(|error| format!("{NEEDS_PYTHON}; tools/venv said:\n{error}"))?;
        Ok(Path::new(REPOSITORY).join(".venv/bin/python"))
    }))
}

/// The binary of the axum sample: the one that `ORDER_SERVICE_BIN` names, or else a fresh one, built beside ours.
fn order_service() -> &'static Path {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    found(BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("ORDER_SERVICE_BIN") {
            return Ok(path.into());
        }
        // target/<profile>/pailou
        let folder = Path::new(binary()).parent().expect("a folder");
        let target = folder.parent().expect("a target folder");
        let profile = match folder.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => "dev",
            Some(profile) => profile,
        };
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build
            .args([
                "build",
                "--quiet",
                "-p",
                "rust-order-service",
                "--profile",
                profile,
            ])
            .arg("--target-dir")
            .arg(target);
        run(&mut build).map_err(|error| format!("rust-order-service is not built:\n{error}"))?;
        Ok(folder.join("rust-order-service"))
    }))
}

/// Runs a command in the repository to its end.
fn run(command: &mut Command) -> Result<(), String> {
    let output = command.current_dir(REPOSITORY).output();
    let output = output.map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    let said = || String::from_utf8_lossy(&output.stderr).into_owned();
    output.status.success().then_some(()).ok_or_else(said)
}

/// Each case that needs it says why it is not there; the work is not tried again.
fn found(made: &'static Result<PathBuf, String>) -> &'static Path {
    made.as_deref().unwrap_or_else(|error| panic!("{error}"))
}
