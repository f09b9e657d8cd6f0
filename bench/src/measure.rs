//! Clocks and counters: time, CPU time and memory of a process, space on disk, medians.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tlog::key::Ed25519PrivateKey;

/// The value in the middle, the smallest and the largest.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// The middle.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// The spread of some values. Infinities sort to the end; there is at least one value.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Self { median, min: values[0], max: values[values.len() - 1] }
    }

    /// The spread of the ratios of two series, round by round.
    pub fn of_ratios(numerators: &[f64], denominators: &[f64]) -> Self {
        Self::of(numerators.iter().zip(denominators).map(|(ours, theirs)| ours / theirs))
    }
}

/// The CPU time a process has used, in user and kernel mode, all its threads together. The kernel tells it
/// in hundredths of a second.
pub fn cpu_of(pid: u32) -> Duration {
    cpu_fields(&pid.to_string(), [11, 12])
}

/// The CPU time of this process.
pub fn cpu_of_self() -> Duration {
    cpu_fields("self", [11, 12])
}

/// The CPU time of the children of this process that have ended.
pub fn cpu_of_ended_children() -> Duration {
    cpu_fields("self", [13, 14])
}

fn cpu_fields(process: &str, fields: [usize; 2]) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("the process runs");
    // Counted from behind the name, which may contain anything.
    let (_, behind_name) = stat.rsplit_once(") ").expect("proc(5)");
    let values: Vec<&str> = behind_name.split(' ').collect();
    let ticks: u64 = fields.iter().map(|field| values[*field].parse::<u64>().expect("proc(5)")).sum();
    Duration::from_millis(ticks * 10)
}

/// The memory of a process that is in RAM, in MiB: now, and at most so far.
pub fn memory_of(pid: u32) -> (f64, f64) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("proc(5)");
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("proc(5)");
        kib / 1_024.0
    };
    (field("VmRSS:"), field("VmHWM:"))
}

/// Bytes on disk of the files below a folder whose names `which` takes.
pub fn bytes_on_disk(folder: &Path, which: &dyn Fn(&str) -> bool) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let mut bytes = 0;
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        let metadata = entry.metadata().expect("an entry");
        if metadata.is_dir() {
            bytes += bytes_on_disk(&entry.path(), which);
        } else if which(&entry.file_name().to_string_lossy()) {
            bytes += metadata.blocks() * 512;
        }
    }
    bytes
}

/// What else the machine does: the load averages.
pub fn load_average() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// What one strict Ed25519 verification costs while every CPU is busy with them, in microseconds of CPU time:
/// what admission is bound by, and a measure of how fast the machine is at this moment.
pub fn verification_micros() -> f64 {
    const VERIFICATIONS: u32 = 3_000;
    let key = Ed25519PrivateKey::from_seed(&[7; 32]);
    let message = [42; 1_024];
    let (public, signature) = (key.public_key(), key.sign(&message));
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let before = cpu_of_self();
    std::thread::scope(|scope| {
        for _ in 0..cpus {
            scope.spawn(|| {
                assert!((0..VERIFICATIONS).all(|_| black_box(&public).verify(&message, &signature)))
            });
        }
    });
    (cpu_of_self() - before).as_secs_f64() * 1e6 / f64::from(VERIFICATIONS) / cpus as f64
}

/// The machine in a line.
pub fn machine() -> String {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split(':').nth(1));
    let folder = std::env::temp_dir();
    let filesystem = Command::new("stat").args(["-f", "-c", "%T"]).arg(&folder).output();
    let filesystem =
        filesystem.map_or("?".into(), |stat| String::from_utf8_lossy(&stat.stdout).trim().to_owned());
    format!("{cpus} CPUs, {}, logs below {} ({filesystem})", model.unwrap_or("?").trim(), folder.display())
}
