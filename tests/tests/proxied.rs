//! `docs/nginx.conf` in a real nginx, in front of a real log.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use attestation::entry::Visibility::Public;
use reqwest::blocking::{Client, Response};
use serde_json::Value;
use testkit::log::{Log, ORIGIN, free_port};
use testkit::signer::Signer;

/// The nginx that `BENCH_NGINX` names, or the system's.
fn nginx() -> Option<PathBuf> {
    let named = std::env::var_os("BENCH_NGINX").map(PathBuf::from);
    let found = named.into_iter().chain(["/usr/sbin/nginx".into()]).find(|path| path.is_file());
    if found.is_none() {
        eprintln!("not run: there is no /usr/sbin/nginx, and BENCH_NGINX names none");
    }
    found
}

/// An nginx that serves the configuration, until it is dropped.
struct Proxy {
    process: Child,
    url: String,
    http: Client,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        testkit::log::terminate(self.process.id());
        let _ = self.process.wait();
    }
}

impl Proxy {
    fn start(program: &Path, folder: &Path, log: &Log) -> Self {
        let port = free_port();
        let config = configuration(folder, log);
        // Plain HTTP, and the client's address from a header: the test is many clients.
        let config = config
            .replace("listen 443 ssl;", &format!("listen 127.0.0.1:{port};"))
            .replace("listen [::]:443 ssl;", "set_real_ip_from 127.0.0.0/8; real_ip_header X-Test-Client;")
            .lines()
            .filter(|line| !line.contains("ssl_certificate"))
            .collect::<Vec<_>>()
            .join("\n");
        let process = Command::new(program)
            .args(["-p".as_ref(), folder.as_os_str(), "-c".as_ref()])
            .arg(written(folder, &config))
            .spawn()
            .expect("nginx runs");
        let http = Client::builder().timeout(Duration::from_secs(60)).build().expect("an HTTP client");
        let proxy = Self { process, url: format!("http://127.0.0.1:{port}"), http };
        let start = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(start.elapsed() < Duration::from_secs(20), "nginx does not listen");
            std::thread::yield_now();
        }
        proxy
    }

    fn get(&self, path: &str, client: &str) -> Response {
        let request = self.http.get(format!("{}{path}", self.url)).header("x-test-client", client);
        request.header("accept-encoding", "gzip").send().expect("an answer")
    }
}

/// The configuration of the documentation, with the folders and the port of this test.
fn configuration(folder: &Path, log: &Log) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let config = fs::read_to_string(root.join("docs/nginx.conf")).expect("the configuration");
    let folder = folder.display().to_string();
    config
        .replace("127.0.0.1:8080", &log.address().to_string())
        .replace("/var/cache/nginx", &folder)
        .replace("/etc/ssl", &folder)
}

/// Writes what stands around a file of `conf.d`.
fn written(folder: &Path, config: &str) -> PathBuf {
    let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let folders: String =
        folders.iter().map(|name| format!("{name}_temp_path {}/{name};\n", folder.display())).collect();
    let text = format!(
        "daemon off; master_process off; pid {0}/pid; error_log {0}/errors;\nevents {{ worker_connections 512; }}\n\
         http {{\naccess_log off;\n{folders}{config}\n}}\n",
        folder.display()
    );
    let path = folder.join("nginx.conf");
    fs::write(&path, text).expect("a file");
    path
}

#[test]
fn the_configuration_is_one_with_tls() {
    let Some(program) = nginx() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let key = folder.path().join("log.example.com.key");
    let request =
        ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=log.example.com", "-keyout"];
    let made =
        Command::new("openssl").args(request).arg(&key).arg("-out").arg(key.with_extension("pem")).output();
    if !made.is_ok_and(|made| made.status.success()) {
        return eprintln!("not run: openssl makes no certificate");
    }
    let log = Log::init();
    let config = written(folder.path(), &configuration(folder.path(), &log));
    let output = Command::new(program)
        .args(["-t".as_ref(), "-p".as_ref(), folder.path().as_os_str(), "-c".as_ref(), config.as_os_str()])
        .output();
    let output = output.expect("nginx runs");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !words.contains("[warn]"), "{words}");
}

#[test]
fn what_never_changes_is_asked_of_the_log_once_and_nothing_else_is_kept() {
    let Some(program) = nginx() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut log = Log::init();
    log.serve(&["--trusted-proxy", "127.0.0.1/32", "--address-entries-per-minute", "200"]);
    let signer = Signer::new(1);
    let entries = (0..100u32).map(|number| signer.sign(ORIGIN, &number.to_be_bytes(), Public, 0).by_hash());
    assert_eq!(log.submit(&entries.collect::<Value>()).0, 200);
    let proxy = Proxy::start(&program, folder.path(), &log);
    let kept = |path: &str, client: &str| {
        let response = proxy.get(path, client);
        assert_eq!(response.status().as_u16(), 200, "{path}");
        assert_eq!(response.headers().get("content-encoding"), None, "{path}");
        let status = response.headers()["x-cache-status"].to_str().expect("text").to_owned();
        assert_eq!(response.bytes().expect("a body"), log.bytes(path), "{path}");
        status
    };
    for path in [
        "/tile/0/000.p/100",
        "/tile/entries/000.p/100",
        "/api/v1/entries/7",
        "/api/v1/proofs/inclusion/7/100",
    ] {
        assert_eq!([kept(path, "192.0.2.1"), kept(path, "192.0.2.2")], ["MISS", "HIT"], "{path}");
    }
    for path in ["/checkpoint", "/policy", "/api/v1/entries/7/proof"] {
        assert_eq!([kept(path, "192.0.2.1"), kept(path, "192.0.2.2")], ["MISS", "MISS"], "{path}");
    }
    // What is not there yet may be there tomorrow.
    for _ in 0..2 {
        let missing = proxy.get("/tile/0/001", "192.0.2.1");
        assert_eq!(
            (missing.status().as_u16(), &missing.headers()["x-cache-status"]),
            (404, &"MISS".parse().expect("text"))
        );
    }
    for path in ["/metrics", "/readyz"] {
        assert_eq!(proxy.get(path, "192.0.2.1").status().as_u16(), 404, "{path} is the operator's");
    }
    // The budget is the client's: one has spent its own, and the next has not.
    let submit = |client: &str, number: u32| {
        let entry = signer.sign(ORIGIN, &number.to_be_bytes(), Public, 0).by_hash();
        let request =
            proxy.http.post(format!("{}/api/v1/entries", proxy.url)).header("x-test-client", client);
        // What a client writes itself does not count.
        let request = request.header("x-forwarded-for", "203.0.113.9").json(&entry);
        request.send().expect("an answer").status().as_u16()
    };
    let refused = (0..2_000).find(|number| submit("192.0.2.1", number % 100) == 429).expect("a budget");
    eprintln!("refused after {refused}");
    assert_eq!(submit("192.0.2.2", 1), 200);
}

#[test]
fn a_client_has_so_many_connections_and_a_network_of_ipv6_is_one() {
    let Some(program) = nginx() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut log = Log::init();
    // Bodies that never end hold the connections.
    log.serve(&["--trusted-proxy", "127.0.0.1/32"]);
    let proxy = Proxy::start(&program, folder.path(), &log);
    // With its body: an answer counts until all of it is here.
    let status = |client: &str| {
        let answer = proxy.get("/checkpoint", client);
        let status = answer.status().as_u16();
        drop(answer.bytes().expect("a body"));
        status
    };
    let hold = |client: &str| {
        use std::io::Write as _;
        let mut stream =
            std::net::TcpStream::connect(proxy.url.trim_start_matches("http://")).expect("nginx listens");
        let request = format!(
            "POST /api/v1/entries HTTP/1.1\r\nHost: log\r\nX-Test-Client: {client}\r\n\
             Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"
        );
        stream.write_all(request.as_bytes()).expect("a socket");
        // nginx goes round all sockets: once it has asked the log for somebody else, it has taken this one up.
        assert_eq!(status("198.51.100.1"), 200);
        stream
    };
    let _held: Vec<_> = (0..63).map(|number| hold(&format!("2001:db8:0:1::{number:x}"))).collect();
    assert_eq!(status("2001:db8:0:1:ffff::1"), 200, "the last that it may have");
    let _last = hold("2001:db8:0:1::ffff");
    assert_eq!(status("2001:db8:0:1:ffff::1"), 429);
    for other in ["2001:db8:0:2::1", "192.0.2.1"] {
        assert_eq!(status(other), 200, "{other}");
    }
    let _more: Vec<_> = (0..64).map(|_| hold("192.0.2.1")).collect();
    assert_eq!(status("192.0.2.1"), 429);
    assert_eq!(status("192.0.2.2"), 200);
}
