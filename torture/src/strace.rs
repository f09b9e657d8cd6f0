//! `strace` on a process that runs: what it calls, and calls that are made to fail.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// `strace` at work. The process runs on without it when this is dropped.
pub struct Strace {
    child: Child,
    trace: PathBuf,
}

impl Strace {
    /// Attaches to every thread of a process, or to those of this name, and returns once it has. The trace goes to a file.
    ///
    /// # Errors
    /// Why it could not, for `not run`.
    pub fn attach(pid: u32, only: Option<&str>, trace: &Path, args: &[String]) -> Result<Self, String> {
        let _ = fs::remove_file(trace);
        let mut command = Command::new("strace");
        command.args(["-q", "-o"]).arg(trace).args(args);
        let wanted: Vec<u32> = match only {
            Some(name) => threads(pid).into_iter().filter(|thread| name_of(pid, *thread) == name).collect(),
            None => vec![pid],
        };
        if only.is_none() {
            command.arg("-f");
        }
        for thread in &wanted {
            command.args(["-p", &thread.to_string()]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(|e| format!("strace: {e}"))?;
        let mut strace = Self { child, trace: trace.to_owned() };
        let start = Instant::now();
        while !(if only.is_some() { wanted.clone() } else { threads(pid) })
            .iter()
            .all(|thread| is_traced(pid, *thread))
        {
            if strace.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return Err("strace may not attach to a process here".into());
            }
            if start.elapsed() > Duration::from_secs(10) {
                return Err("strace does not attach".into());
            }
            std::thread::park_timeout(Duration::from_millis(2));
        }
        Ok(strace)
    }

    /// What it wrote so far.
    pub fn trace(&self) -> String {
        fs::read_to_string(&self.trace).unwrap_or_default()
    }

    /// Whether it ends within so long by itself, as it does when its process has ended.
    pub fn ends(&mut self, within: Duration) -> bool {
        let start = Instant::now();
        while self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            if start.elapsed() > within {
                return false;
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
        true
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        // SIGTERM would have it wait for every thread, and for ever where the process is just ending.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The threads of a process.
fn threads(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads.filter_map(|thread| thread.file_name().to_str()?.parse().ok()).collect()
}

/// The name of a thread.
pub fn name_of(pid: u32, thread: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/task/{thread}/comm"));
    name.unwrap_or_default().trim_end().to_owned()
}

fn is_traced(pid: u32, thread: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/task/{thread}/status")).unwrap_or_default();
    status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|tracer| tracer.trim() != "0"))
}

/// Whether `strace` is here; why not, and what would help.
///
/// # Errors
/// The two sentences of `not run`.
pub fn needed() -> Result<(), (String, String)> {
    match Command::new("strace").arg("-V").output() {
        Ok(_) => Ok(()),
        Err(e) => Err((format!("strace: {e}"), "install `strace`".into())),
    }
}

/// A call in a trace: the thread, the name, and the line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Call {
    /// The thread's number.
    pub thread: u32,
    /// Such as `fdatasync`.
    pub name: String,
}

/// The calls of a trace, each once.
pub fn calls(trace: &str) -> Vec<Call> {
    let call = |line: &str| {
        let (thread, rest) = line.split_once(' ')?;
        let (name, _) = rest.trim_start().split_once('(')?;
        let is_name =
            name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        (is_name && !name.is_empty()).then_some(Call { thread: thread.parse().ok()?, name: name.to_owned() })
    };
    trace.lines().filter_map(call).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_read_by_its_lines() {
        let trace = "12  openat(AT_FDCWD, \"/a\", O_RDONLY) = 7\n12  write(7, \"x(\", 2 <unfinished ...>\n\
                     13  fsync(9)          = -1 EIO (Input/output error) (INJECTED)\n12  <... write resumed>) = 2\n\
                     13  +++ killed by SIGKILL +++\n13  --- SIGCHLD {si_signo=SIGCHLD} ---\n";
        let calls: Vec<(u32, String)> =
            calls(trace).into_iter().map(|call| (call.thread, call.name)).collect();
        assert_eq!(calls, [(12, "openat".into()), (12, "write".into()), (13, "fsync".into())]);
    }
}
