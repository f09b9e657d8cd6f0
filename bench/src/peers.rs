//! The programs of others, as `bench.sh` installed them.

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use testkit::log::{free_port, terminate};
use testkit::program;
use tlog::Hash;
use tlog::key::{KeyName, KeyType, SignerKey, VerifierKey};

/// A peer's program, from the environment variable of that name; or why there is none, from the variable
/// with `_WHY` added.
pub fn find(variable: &str) -> Result<PathBuf, String> {
    let why = || {
        std::env::var(format!("{variable}_WHY")).unwrap_or_else(|_| format!("{variable} names no program"))
    };
    std::env::var_os(variable).map(PathBuf::from).filter(|path| path.exists()).ok_or_else(why)
}

/// A server of somebody else, on loopback, with a folder of its own.
#[derive(Debug)]
pub struct Server {
    folder: TempDir,
    address: SocketAddr,
    process: Option<Child>,
    /// What it needs to run, such as the agent that holds its key.
    helper: Option<Child>,
}

impl Server {
    /// litewitness, its key in an `ssh-agent`, with logs to cosign. `python` runs `add_logs`, which writes into its
    /// database: its own tool for that cannot be built.
    pub fn litewitness(program: &Path, python: &Path, add_logs: &Path, logs: &[VerifierKey]) -> Self {
        let mut helper = None;
        let mut server = Self::start(|folder, address| {
            let (key, agent) = (folder.join("key"), folder.join("agent"));
            let mut process = Command::new("ssh-agent");
            process.arg("-D").arg("-a").arg(&agent).stdin(Stdio::null()).stdout(Stdio::null());
            helper = Some(process.spawn().expect("ssh-agent runs"));
            run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key), "");
            let start = Instant::now();
            while !agent.exists() {
                assert!(start.elapsed() < Duration::from_secs(20), "ssh-agent makes no socket");
                std::thread::sleep(Duration::from_millis(20));
            }
            run(Command::new("ssh-add").arg("-q").arg(&key).env("SSH_AUTH_SOCK", &agent), "");
            let print = run(Command::new("ssh-keygen").arg("-lf").arg(folder.join("key.pub")), "");
            let fingerprint = print.split(' ').nth(1).expect("ssh-keygen prints a fingerprint");
            let mut command = Command::new(program);
            command.arg("-db").arg(folder.join("db")).args(["-name", "localhost/litewitness", "-key"]);
            command.arg(fingerprint).arg("-ssh-agent").arg(agent).args(["-listen", &address.to_string()]);
            command
        });
        server.helper = helper;
        let vkeys: String = logs.iter().map(|vkey| format!("{vkey}\n")).collect();
        run(Command::new(python).arg(add_logs).arg(server.folder.path().join("db")), &vkeys);
        server
    }

    /// Our own witness, with keys of these types, and logs to cosign.
    pub fn witness(key_types: &[&str], logs: &[VerifierKey]) -> Self {
        Self::start(|folder, address| {
            let dir = folder.join("witness");
            let mut init = Command::new(program("witness"));
            init.args(["init", "--name", "localhost/witness", "--dir"]).arg(&dir);
            let policy = run(init.args(key_types.iter().flat_map(|kind| ["--key-type", kind])), "");
            fs::write(folder.join("policy"), policy).expect("a file");
            let logs = logs.iter().map(|vkey| format!("\nvkey {vkey}\n"));
            fs::write(dir.join("logs"), format!("logs/v0\n{}", logs.collect::<String>())).expect("a file");
            let mut command = Command::new(program("witness"));
            command.arg("serve").arg("--dir").arg(dir).args(["--listen", &address.to_string()]);
            command.args(["--address-requests-per-minute", "0", "--address-connections", "0"]);
            command
        })
    }

    /// The keys that a witness cosigns with: those in the policy that ours prints, or the one in what litewitness
    /// says at its start.
    pub fn witness_keys(&self) -> Vec<VerifierKey> {
        let read = |name| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        let policy = read("policy");
        let ours = policy.lines().filter_map(|line| line.strip_prefix("witness ")?.split(' ').nth(1));
        let output = read("output");
        let theirs = output.lines().filter_map(|line| line.split_once("vkey=").map(|(_, vkey)| vkey));
        let keys: Vec<_> =
            ours.chain(theirs).filter_map(|vkey| vkey.trim_matches('"').parse().ok()).collect();
        assert!(!keys.is_empty(), "a witness says its keys: {output}");
        keys
    }

    /// Tessera's POSIX log (`cmd/conformance/posix`).
    pub fn tessera(program: &Path) -> Self {
        Self::start(|folder, address| {
            let name = KeyName::new("localhost/peer").expect("a name");
            let key = SignerKey::from_seed(name, KeyType::Ed25519, Hash::of(b"peer").as_bytes());
            let file = folder.join("key");
            fs::write(&file, key.to_skey().as_bytes()).expect("a file");
            let mut command = Command::new(program);
            command.args(["-listen", &address.to_string(), "-storage_dir"]).arg(folder.join("log"));
            command.arg("-private_key").arg(file);
            command
        })
    }

    /// rekor-tiles' POSIX log (`cmd/rekor-server/posix`), a checkpoint a second, without its memory of entries.
    pub fn rekor(program: &Path) -> Self {
        Self::start(|folder, address| {
            let key = folder.join("key.pem");
            run(Command::new("openssl").args(["genpkey", "-algorithm", "ed25519", "-out"]).arg(&key), "");
            let mut command = Command::new(program);
            let (http, grpc) = (address.port().to_string(), free_port().to_string());
            command.args([
                "serve",
                "--hostname",
                "rekor-local",
                "--http-address",
                "127.0.0.1",
                "--http-port",
                &http,
            ]);
            command
                .args(["--grpc-address", "127.0.0.1", "--grpc-port", &grpc, "--storage-dir"])
                .arg(folder.join("log"));
            command.arg("--signer-filepath").arg(key).args([
                "--checkpoint-interval",
                "1s",
                "--persistent-antispam=false",
            ]);
            command
        })
    }

    /// nginx, serving the files below `root` as a static site would: two workers, no access log, open
    /// files kept.
    pub fn nginx(program: &Path, root: &Path) -> Self {
        Self::start(|folder, address| {
            let settings = format!(
                "daemon off; user root; worker_processes 2; pid {0}/pid; error_log {0}/error.log;\n\
                 events {{ worker_connections 1024; }}\n\
                 http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;\n\
                 open_file_cache max=10000 inactive=1h; open_file_cache_valid 1h;\n\
                 default_type application/octet-stream;\n\
                 client_body_temp_path {0}/body; proxy_temp_path {0}/proxy; fastcgi_temp_path {0}/fastcgi;\n\
                 uwsgi_temp_path {0}/uwsgi; scgi_temp_path {0}/scgi;\n\
                 server {{ listen {address}; root {1}; }} }}\n",
                folder.display(),
                root.display(),
            );
            let file = folder.join("nginx.conf");
            fs::write(&file, settings).expect("a file");
            let mut command = Command::new(program);
            command.arg("-p").arg(folder).arg("-c").arg(file).arg("-e").arg(folder.join("error.log"));
            command
        })
    }

    fn start(command: impl FnOnce(&Path, SocketAddr) -> Command) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address: SocketAddr = ([127, 0, 0, 1], free_port()).into();
        let mut command = command(folder.path(), address);
        let output = fs::File::create(folder.path().join("output")).expect("a file");
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output).spawn();
        let process = Some(process.expect("the peer runs"));
        let server = Self { folder, address, process, helper: None };
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            let output = fs::read_to_string(server.folder.path().join("output")).unwrap_or_default();
            assert!(start.elapsed() < Duration::from_secs(20), "the peer does not listen: {output}");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the peer runs").id()
    }

    /// The process that it needs to run, if it needs one.
    pub fn helper_pid(&self) -> Option<u32> {
        self.helper.as_ref().map(Child::id)
    }

    /// The ids of its process and of those it started.
    pub fn pids(&self) -> Vec<u32> {
        let pid = self.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        std::iter::once(pid)
            .chain(children.split_whitespace().filter_map(|child| child.parse().ok()))
            .collect()
    }

    /// Stops it; answers the folder with what it stored.
    pub fn stop(&mut self) -> PathBuf {
        for mut process in [self.process.take(), self.helper.take()].into_iter().flatten() {
            terminate(process.id());
            process.wait().expect("a process that was told to stop ends");
        }
        self.folder.path().join("log")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Runs a program that must succeed, with this on its stdin; answers its stdout.
fn run(command: &mut Command, input: &str) -> String {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = process.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("the program reads its input");
    drop(stdin);
    let output = process.wait_with_output().expect("a program that ends");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
