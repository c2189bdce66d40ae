//! The Pailou edge gateway: arguments, wiring, admin listener, shutdown.

mod access_log;
mod admin;
mod check;
mod cli;
mod descriptors;
mod dev;
mod doctor;
mod explain;
mod gateway;
mod health;
mod import;
mod judge;
mod listeners;
mod nacos;
mod own_files;
mod ports;
mod registry;
mod reload;
mod run;
mod samples;
mod say;
mod sentinel;
mod settings_file;
mod signals;
mod tour;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};

/// What a large document took goes back to the system within seconds of its end. With glibc's allocator it stays for ever:
/// `benches/README.md`, "Memory".
#[cfg(not(windows))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Dev(args) => dev::run(&args),
        Command::Registry(args) => on_one_thread(registry::run(&args)).map(|()| ExitCode::SUCCESS),
        Command::Check(args) => check::run(&args),
        Command::Explain(args) => on_one_thread(explain::run(&args)),
        Command::Import(args) => import::run(&args),
        Command::Health(args) => on_one_thread(health::run(&args)).map(|()| ExitCode::SUCCESS),
        Command::Doctor(args) => on_one_thread(doctor::run(&args)),
        Command::Nacos(args) => on_one_thread(nacos::run(args)),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            // One line: the whole chain of causes, outermost first.
            say::err(&format!("pailou: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// For commands that wait more than they work.
fn on_one_thread<T>(task: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(task)
}
