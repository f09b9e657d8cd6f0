//! The programs of others, as `bench.sh` installed them.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tlog::Hash;
use tlog::key::{KeyName, KeyType, SignerKey};

use crate::log::{free_port, terminate};

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
}

impl Server {
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
        let server = Self { folder, address, process: Some(process.expect("the peer runs")) };
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
        if let Some(mut process) = self.process.take() {
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
