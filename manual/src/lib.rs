//! Manual pages of the programs, in roff: what clap knows of a command, and behind it EXAMPLES, EXIT STATUS,
//! ENVIRONMENT and FILES, which it does not.
//!
//! In scope: which sections a page has, and how they are written. Out of scope: what a program says in them, which is a
//! [`Manual`] of its own, and writing pages to a folder, which each program does as it writes files.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};

/// What `--version --verbose` prints: the version, then a line for each fact; `None` if that is not what was typed.
pub fn version(
    arguments: impl IntoIterator<Item = OsString>,
    version: &str,
    facts: &[(&str, &str)],
) -> Option<String> {
    let mut arguments = arguments.into_iter();
    let name = PathBuf::from(arguments.next()?).file_name()?.to_string_lossy().into_owned();
    let (mut asks, mut at_length) = (false, false);
    for argument in arguments {
        match argument.to_str() {
            Some("--version" | "-V") => asks = true,
            Some("--verbose") => at_length = true,
            _ => return None,
        }
    }
    let facts = facts.iter().map(|(what, fact)| format!("{what}: {fact}\n"));
    (asks && at_length).then(|| format!("{name} {version}\n{}", facts.collect::<String>()))
}

/// What a program's pages say that its flags do not.
#[derive(Clone, Copy, Debug)]
pub struct Manual {
    /// Calls of each command, by its name: `""` is the program itself, `policy pin` a command of a command.
    pub examples: &'static [(&'static str, &'static [Example])],
    /// Exit codes and what each says.
    pub exit_status: &'static [(&'static str, &'static str)],
    /// Variables that no flag names, and what each is for.
    pub environment: &'static [(&'static str, &'static str)],
    /// Files that the program reads or writes, and what each is.
    pub files: &'static [(&'static str, &'static str)],
}

impl Manual {
    /// What is wrong with it, for the tests of `program`: commands without an example, examples of no command, examples
    /// that do not parse. One that cannot be typed is worse than none.
    pub fn unfit(&self, program: &Command) -> Vec<String> {
        let names = commands(program.clone());
        let of = |name: &str| {
            self.examples.iter().filter(|(of, _)| *of == name).flat_map(|(_, all)| *all).collect()
        };
        let mut unfit = Vec::new();
        for name in &names {
            let examples: Vec<&Example> = of(name);
            if examples.is_empty() {
                unfit.push(format!("`{name}` has no example"));
            }
            for example in examples {
                unfit.extend(example.call(program.get_name()).and_then(|call| {
                    let error = program.clone().try_get_matches_from(call).err()?;
                    error.use_stderr().then(|| format!("{}: {error}", example.line))
                }));
            }
        }
        let is_known = |name: &&str| names.iter().any(|known| known == name);
        let unknown = self.examples.iter().map(|(name, _)| *name).filter(|name| !is_known(name));
        unfit.extend(unknown.map(|name| format!("`{name}` is no command")));
        unfit
    }
}

/// A call as it is typed, without the program's name before the arguments, and what it does.
#[derive(Clone, Copy, Debug)]
pub struct Example {
    /// The line, with the program's name as `$`: `$ sign 'dist/*'`.
    pub line: &'static str,
    /// What it is for.
    pub what: &'static str,
}

/// A call, and what it does.
pub const fn example(line: &'static str, what: &'static str) -> Example {
    Example { line, what }
}

impl Example {
    /// The line, for the program of this name.
    pub fn line_of(&self, program: &str) -> String {
        self.line.replace("$ ", &format!("{program} "))
    }

    /// The words of the program's call in it; `None` if it calls another one only.
    fn call(&self, program: &str) -> Option<Vec<String>> {
        let call = self.line.split(" | ").find_map(|part| part.strip_prefix("$ "))?;
        let call = call.split(" > ").next()?;
        // Quotes are all of a shell that examples need.
        let pieces = call.split('\'').enumerate().flat_map(|(at, piece)| match at % 2 {
            0 => piece.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect(),
            _ => vec![piece.to_owned()],
        });
        Some(std::iter::once(program.to_owned()).chain(pieces).collect())
    }
}

/// The page of the program itself.
pub fn page(program: Command, manual: &Manual) -> io::Result<Vec<u8>> {
    let program = built(program);
    let name = program.get_name().to_owned();
    render(&program, &name, "", manual)
}

/// The pages of the program and of every command, each with the name of its file.
pub fn pages(program: Command, manual: &Manual) -> io::Result<Vec<(String, Vec<u8>)>> {
    let program = built(program);
    let name = program.get_name().to_owned();
    let mut pages = Vec::new();
    add(&program, &name, "", manual, &mut pages)?;
    Ok(pages)
}

/// The names of all commands, as [`Manual::examples`] has them.
pub fn commands(program: Command) -> Vec<String> {
    fn add(command: &Command, path: &str, names: &mut Vec<String>) {
        names.push(path.to_owned());
        for command in command.get_subcommands() {
            add(command, &below(path, command), names);
        }
    }
    let mut names = Vec::new();
    add(&built(program), "", &mut names);
    names
}

fn built(program: Command) -> Command {
    let mut program = program.disable_help_subcommand(true);
    program.build();
    program
}

fn below(path: &str, command: &Command) -> String {
    format!("{path} {}", command.get_name()).trim_start().to_owned()
}

fn add(
    command: &Command,
    program: &str,
    path: &str,
    manual: &Manual,
    pages: &mut Vec<(String, Vec<u8>)>,
) -> io::Result<()> {
    pages.push((Man::new(command.clone()).get_filename(), render(command, program, path, manual)?));
    command
        .get_subcommands()
        .try_for_each(|command| add(command, program, &below(path, command), manual, pages))
}

fn render(command: &Command, program: &str, path: &str, manual: &Manual) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    let mut roff = Roff::new();
    roff.control("SH", ["EXAMPLES"]);
    for example in manual.examples.iter().filter(|(name, _)| *name == path).flat_map(|(_, all)| *all) {
        roff.control("TP", []).text([bold(example.line_of(program))]).text([roman(example.what)]);
    }
    roff.control("SH", ["EXIT STATUS"]);
    list(&mut roff, manual.exit_status.iter().map(|(code, what)| (*code, (*what).to_owned())));
    roff.control("SH", ["ENVIRONMENT"]);
    list(&mut roff, variables(command, manual).into_iter());
    roff.control("SH", ["FILES"]);
    for (file, what) in manual.files {
        roff.control("TP", []).text([italic(*file)]).text([roman(*what)]);
    }
    roff.to_writer(&mut page)?;
    Ok(page)
}

fn list<'a>(roff: &mut Roff, items: impl Iterator<Item = (&'a str, String)>) {
    for (name, what) in items {
        roff.control("TP", []).text([bold(name)]).text([roman(what)]);
    }
}

/// The variables that stand in for flags of this command, then those that no flag names.
fn variables<'a>(command: &'a Command, manual: &Manual) -> Vec<(&'a str, String)> {
    let of_flag = |argument: &'a clap::Arg| {
        let name = argument.get_env()?.to_str()?;
        let flag = argument.get_long().map_or(String::new(), |long| format!("as --{long}"));
        Some((name, flag))
    };
    let mut variables: Vec<(&str, String)> = command.get_arguments().filter_map(of_flag).collect();
    variables.extend(manual.environment.iter().map(|(name, what)| (*name, (*what).to_owned())));
    variables
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    const MANUAL: Manual = Manual {
        examples: &[
            ("", &[example("$ make 'a b'", "make it")]),
            ("make", &[example("echo $HOME | $ make", "from a pipe")]),
        ],
        exit_status: &[("0", "done")],
        environment: &[("TOOL_HOME", "where it is")],
        files: &[("~/.tool", "what it remembers")],
    };

    fn tool() -> Command {
        let flag = Arg::new("at").long("at").env("TOOL_AT").hide_env_values(true);
        Command::new("tool").about("Do it").subcommand(Command::new("make").about("Make it").arg(flag))
    }

    #[test]
    fn every_page_has_every_section_and_its_own_examples() {
        let pages = pages(tool(), &MANUAL).expect("no disk is asked");
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["tool.1", "tool-make.1"]);
        for (name, page) in &pages {
            let page = String::from_utf8_lossy(page);
            for section in ["EXAMPLES", "EXIT STATUS", "ENVIRONMENT", "FILES"] {
                assert!(
                    page.contains(&format!(".SH {section}")) || page.contains(&format!(".SH \"{section}\"")),
                    "{name}: {page}"
                );
            }
        }
        let text = |at: usize| String::from_utf8_lossy(&pages[at].1).into_owned();
        assert!(text(0).contains("tool make"), "{}", text(0));
        assert!(!text(0).contains("TOOL_AT") && text(0).contains("TOOL_HOME"), "{}", text(0));
        assert!(text(1).contains("echo $HOME | tool make"), "{}", text(1));
        assert!(text(1).contains("TOOL_AT") && text(1).contains("as \\-\\-at"), "{}", text(1));
        assert_eq!(commands(tool()), ["", "make"]);
    }

    #[test]
    fn an_example_that_cannot_be_typed_is_told() {
        const BAD: &[(&str, &[Example])] = &[
            ("", &[example("$ mend --now", "no such command")]),
            (
                "make",
                &[example("$ make --at 'two words' > file", "good"), example("reboot", "of another program")],
            ),
            ("break", &[]),
        ];
        let unfit = Manual { examples: BAD, ..MANUAL }.unfit(&tool());
        assert!(unfit.len() == 2 && unfit[0].contains("mend --now"), "{unfit:?}");
        assert_eq!(unfit[1], "`break` is no command");
        assert_eq!(Manual { examples: &[], ..MANUAL }.unfit(&tool()).len(), 2);
    }

    #[test]
    fn a_version_is_told_at_length_to_who_asks_for_nothing_else() {
        let told = |typed: &str| {
            version(typed.split(' ').map(OsString::from), "1.2.3", &[("signatures", "by hand")])
        };
        let want = Some("aip 1.2.3\nsignatures: by hand\n".to_owned());
        for typed in ["/usr/bin/aip --version --verbose", "aip --verbose -V"] {
            assert_eq!(told(typed), want, "{typed}");
        }
        for typed in ["aip --version", "aip --verbose", "aip sign --version --verbose", "aip"] {
            assert_eq!(told(typed), None, "{typed}");
        }
    }
}
