//! The manual, run: every console block of `README.md` and `docs/` is typed into a shell, page by page, against real programs.
//!
//! A page's shell begins with `preludes/PAGE.sh`, which sets up what the page takes for granted. A block that cannot be run says
//! so itself, `<!-- not run: REASON -->`, and a block before which something happens that no reader types says what, by a command of
//! the prelude: `<!-- meanwhile: COMMAND -->`.

mod page;
mod session;

use std::path::{Path, PathBuf};

use session::Session;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Types a page's commands, and compares what it shows with what is printed.
fn run(name: &str) {
    let text = std::fs::read_to_string(root().join(name)).expect("a page");
    let blocks = page::blocks(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    let stem = Path::new(name).file_stem().and_then(|stem| stem.to_str()).expect("a name");
    let preludes = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/docs/preludes");
    let read = |name: &str| std::fs::read_to_string(preludes.join(format!("{name}.sh")));
    let prelude =
        format!("{}\n{}", read("common").expect("the common prelude"), read(stem).unwrap_or_default());
    let programs = testkit::program("log-server").parent().expect("a folder").to_owned();
    let mut session = Session::new(&programs, &prelude);
    let mut wrong = Vec::new();
    for block in &blocks {
        if let Some(reason) = &block.not_run {
            eprintln!("not run: {name}:{}: {reason}", block.line);
            continue;
        }
        if let Some(meanwhile) = &block.meanwhile {
            let ran = session.run(meanwhile);
            assert_eq!(ran.code, 0, "{name}:{}: `{meanwhile}`: {}", block.line, ran.output);
        }
        for command in &block.commands {
            let ran = session.run(&command.text);
            let output: Vec<&str> = ran.output.lines().collect();
            if ran.code != command.exit {
                wrong.push(format!(
                    "{name}:{}: `{}` ended with {}, not {}:\n{}",
                    command.line, command.text, ran.code, command.exit, ran.output
                ));
            } else if !page::shows(&command.output, &output) {
                wrong.push(format!(
                    "{name}:{}: `{}` printed\n{}\nand not\n{}\n",
                    command.line,
                    command.text,
                    ran.output,
                    command.output.join("\n")
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A test for each page, so that they run side by side; and a list of them, so that none is left out.
macro_rules! pages {
    ($($test:ident: $page:literal,)*) => {
        $(#[test] fn $test() { run($page); })*

        #[test]
        fn every_page_with_commands_is_run() {
            let run = [$($page),*];
            let mut pages = vec!["README.md".to_owned()];
            for entry in std::fs::read_dir(root().join("docs")).expect("docs") {
                let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
                pages.extend(name.ends_with(".md").then(|| format!("docs/{name}")));
            }
            for name in pages {
                let text = std::fs::read_to_string(root().join(&name)).expect("a page");
                let commands = page::blocks(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
                assert!(commands.is_empty() || run.contains(&name.as_str()), "{name} has commands, and no test runs them");
            }
        }
    };
}

pages! {
    readme: "README.md",
    start: "docs/start.md",
    sign: "docs/sign.md",
    from_aip: "docs/from-aip.md",
    verify: "docs/verify.md",
    trust: "docs/trust.md",
    identity: "docs/identity.md",
    github: "docs/github.md",
    log: "docs/log.md",
    witness: "docs/witness.md",
    monitor: "docs/monitor.md",
    backup: "docs/backup.md",
    policy: "docs/policy.md",
    messages: "docs/messages.md",
    from_cosign: "docs/from-cosign.md",
}
