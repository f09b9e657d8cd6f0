//! One shell for a page, in a folder of its own: what a reader types into one terminal.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

/// What every page's shell has before its first command: how a command is run, and how a server is waited for, since a reader
/// types the next line once he sees that it serves.
const SHELL: &str = r#"
page_run() {
    page_command=$(cat "$PAGE_OUT/$1.command")
    case $page_command in
        'log-server serve '* | 'witness serve '* | 'monitor '*'--metrics '*)
            # In the foreground on the page: its reader has another terminal for what follows.
            page_command="${page_command%&} &" ;;
    esac
    eval "$page_command" >"$PAGE_OUT/$1.output" 2>&1 </dev/null
    page_code=$?
    case $page_command in
        *'&') page_wait "$page_command" ;;
    esac
    echo "$page_code" >"$PAGE_OUT/$1.unfinished" && mv "$PAGE_OUT/$1.unfinished" "$PAGE_OUT/$1.code"
}
page_wait() {
    for page_port in $(printf '%s' "$1" | grep -o '127\.0\.0\.1:[0-9]*' | cut -d: -f2); do
        for page_try in $(seq 600); do
            (exec 3<>"/dev/tcp/127.0.0.1/$page_port") 2>/dev/null && break
            sleep 0.05
        done
    done
}
"#;

/// How long one command may take.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Session {
    folder: tempfile::TempDir,
    shell: Child,
    typed: ChildStdin,
    ran: usize,
    /// What the page says, and what it is here.
    places: Vec<(&'static str, String)>,
}

/// What a command printed, on both streams, and its exit code.
pub(crate) struct Ran {
    pub(crate) output: String,
    pub(crate) code: i32,
}

impl Session {
    /// A shell whose home and working folder are new, and which runs `prelude` first.
    pub(crate) fn new(programs: &Path, prelude: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["work", "home", "out", "root"] {
            std::fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = Command::new("bash")
            .args(["--noprofile", "--norc"])
            .current_dir(folder.path().join("work"))
            .env_clear()
            .env("PATH", format!("{}:{path}", programs.display()))
            .env("HOME", folder.path().join("home"))
            .env("PAGE_OUT", folder.path().join("out"))
            .env("PAGE_REPOSITORY", super::root())
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A group of its own, so that the servers of the page end with it.
            .process_group(0)
            .spawn()
            .expect("bash runs");
        let typed = shell.stdin.take().expect("a pipe");
        let root = folder.path().join("root");
        let mut session = Self { folder, shell, typed, ran: 0, places: places(&root) };
        session.type_line(SHELL);
        let ran = session.run(prelude);
        assert_eq!(ran.code, 0, "the prelude: {}", ran.output);
        session
    }

    /// Runs a command, and waits until it ended.
    pub(crate) fn run(&mut self, command: &str) -> Ran {
        self.ran += 1;
        let file = |kind: &str| self.out().join(format!("{}.{kind}", self.ran));
        let (code, output) = (file("code"), file("output"));
        std::fs::write(file("command"), self.here(command)).expect("written");
        let line = format!("page_run {}\n", self.ran);
        self.type_line(&line);
        let begun = Instant::now();
        while !code.exists() {
            let ended = self.shell.try_wait().expect("a child").is_some();
            if ended || begun.elapsed() > PATIENCE {
                let said = std::fs::read_to_string(&output).unwrap_or_default();
                panic!("`{command}` {}: {said}", if ended { "ended the shell" } else { "did not end" });
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let code = std::fs::read_to_string(code).expect("a code").trim().parse().expect("a number");
        Ran { output: self.there(&String::from_utf8_lossy(&std::fs::read(output).expect("output"))), code }
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    fn type_line(&mut self, line: &str) {
        self.typed.write_all(line.as_bytes()).and_then(|()| self.typed.flush()).expect("the shell reads");
    }

    /// The page's places as they are here.
    fn here(&self, text: &str) -> String {
        self.places.iter().fold(text.to_owned(), |text, (there, here)| text.replace(there, here))
    }

    /// The places here as the page has them.
    fn there(&self, text: &str) -> String {
        let home = self.folder.path().join("home");
        let work = self.folder.path().join("work");
        let text = text.replace(&home.display().to_string(), "/home/me");
        let text = text.replace(&work.display().to_string(), "/home/me/app");
        self.places.iter().rev().fold(text, |text, (there, here)| text.replace(here, there))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let group = format!("-{}", self.shell.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.shell.wait();
    }
}

/// Addresses and folders of the pages, and where they are in this session: ports that are free, folders below `root`.
fn places(root: &Path) -> Vec<(&'static str, String)> {
    let ports: Vec<u16> = (0..8).map(|_| testkit::log::free_port()).collect();
    let local = |at: usize| format!("127.0.0.1:{}", ports[at]);
    let mut places = vec![
        ("https://log.example.com", format!("http://{}", local(0))),
        ("https://w1.example.org", format!("http://{}", local(1))),
        ("https://w2.example.net", format!("http://{}", local(2))),
        ("https://w3.example.com", format!("http://{}", local(3))),
        ("https://mirror.example.org/log", format!("http://{}", local(7))),
    ];
    let listened = [
        "127.0.0.1:8080",
        "127.0.0.1:8081",
        "127.0.0.1:8082",
        "127.0.0.1:8083",
        "127.0.0.1:9080",
        "127.0.0.1:9081",
        "127.0.0.1:9100",
    ];
    places.extend(listened.into_iter().enumerate().map(|(at, there)| (there, local(at))));
    let folders = ["/var/lib/", "/var/backups/", "/media/", "/etc/aip"];
    places.extend(folders.into_iter().map(|there| (there, format!("{}{there}", root.display()))));
    places
}
