//! What the process uses, by the names that Prometheus clients agree on, read from `/proc` at scrape. Elsewhere than on Linux the series
//! are absent.

use std::fs;

/// What `/proc` says of this process; what could not be read is left out.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Process {
    pub(crate) cpu_seconds: Option<f64>,
    pub(crate) start_time_seconds: Option<f64>,
    pub(crate) resident_memory_bytes: Option<u64>,
    pub(crate) virtual_memory_bytes: Option<u64>,
    pub(crate) threads: Option<u64>,
    pub(crate) open_fds: Option<u64>,
    pub(crate) max_fds: Option<u64>,
}

/// The unit of times in `/proc`: USER_HZ, which Linux fixes at 100 for user space whatever the kernel's own tick.
const TICKS_PER_SECOND: f64 = 100.0;

impl Process {
    /// Reads five small files of `/proc`.
    pub(crate) fn read() -> Process {
        let mut process = Process::default();
        if let Ok(stat) = fs::read_to_string("/proc/self/stat") {
            let boot = fs::read_to_string("/proc/stat").ok();
            process.parse_stat(&stat, boot.as_deref().and_then(boot_time));
        }
        if let Ok(status) = fs::read_to_string("/proc/self/status") {
            process.resident_memory_bytes = field_kib(&status, "VmRSS:");
            process.virtual_memory_bytes = field_kib(&status, "VmSize:");
        }
        if let Ok(limits) = fs::read_to_string("/proc/self/limits") {
            process.max_fds = max_open_files(&limits);
        }
        // One entry is the directory that is being read.
        process.open_fds = fs::read_dir("/proc/self/fd")
            .ok()
            .map(|entries| (entries.count() as u64).saturating_sub(1));
        process
    }

    fn parse_stat(&mut self, stat: &str, boot_time: Option<f64>) {
        // The command's name may hold spaces and brackets: the fields begin after the last bracket, with the state.
        let Some((_, fields)) = stat.rsplit_once(')') else {
            return;
        };
        let field = |index: usize| {
            fields
                .split_ascii_whitespace()
                .nth(index)?
                .parse::<f64>()
                .ok()
        };
        if let (Some(user), Some(system)) = (field(11), field(12)) {
            self.cpu_seconds = Some((user + system) / TICKS_PER_SECOND);
        }
        self.threads = field(17).map(|threads| threads as u64);
        if let (Some(started), Some(boot_time)) = (field(19), boot_time) {
            self.start_time_seconds = Some(boot_time + started / TICKS_PER_SECOND);
        }
    }
}

fn boot_time(stat: &str) -> Option<f64> {
    stat.lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()
}

fn field_kib(status: &str, name: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

fn max_open_files(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_proc_are_understood() {
        let mut process = Process::default();
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 7 0 12345 1000 200";
        process.parse_stat(stat, boot_time("cpu 1 2\nbtime 1700000000\nprocesses 3\n"));
        assert_eq!(process.cpu_seconds, Some(3.0));
        assert_eq!(process.threads, Some(7));
        assert_eq!(process.start_time_seconds, Some(1_700_000_123.45));
        let status = "Name:\tx\nVmSize:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(field_kib(status, "VmRSS:"), Some(1024 * 1024));
        assert_eq!(field_kib(status, "VmSwap:"), None);
        let limits = "Limit   Soft Limit  Hard Limit  Units\nMax open files            1024      4096      files\n";
        assert_eq!(max_open_files(limits), Some(1024));
        let unlimited = "Max open files            unlimited      unlimited      files\n";
        assert_eq!(max_open_files(unlimited), None);
    }

    #[test]
    fn garbage_is_left_out() {
        let mut process = Process::default();
        process.parse_stat("", None);
        process.parse_stat("1 (x) S", Some(1.0));
        assert_eq!(process, Process::default());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory_files_and_an_age() {
        let process = Process::read();
        assert!(
            process
                .resident_memory_bytes
                .is_some_and(|bytes| bytes > 100_000)
        );
        assert!(process.open_fds.is_some_and(|fds| fds >= 3));
        assert!(process.start_time_seconds.is_some_and(|at| at > 1.5e9));
        assert!(process.threads.is_some_and(|threads| threads >= 1));
    }
}
