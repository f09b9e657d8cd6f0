//! The commands: one file each, with its help text, its arguments and what it does.

mod completions;
mod confirm;
mod deactivate;
mod distrust;
mod emergency;
mod export;
mod fetch;
mod gate;
mod github_action;
mod inbox;
mod init;
mod inspect;
mod key;
mod log;
mod log_args;
mod mailbox;
mod man;
mod message;
mod message_key;
mod policy;
mod recover;
mod reply;
mod report_compromise;
mod report_equivocation;
mod report_failure;
mod revoke;
mod rotate_key;
mod sign;
mod state;
mod submit;
mod trust;
mod verify;
mod vouch;
mod whoami;
mod withdraw;

use std::ffi::OsString;
use std::path::Path;
use std::str::FromStr as _;
use std::time::{Duration, Instant};

use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _, Parser};
use tlog::key::signature_backend;

use crate::artifact::Excludes;
use crate::clock::parse_duration;
use crate::environment;
use crate::keyfile::chosen::{self, Name};
use crate::report::{Console, Exit, Failure, Result, Words, printable};

/// Sign what a pipeline builds, log it, and verify it offline
#[derive(Parser)]
#[command(
    name = "aip-attest",
    version,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 yes; 1 checked and false; 2 could not, or could not check"
)]
struct Cli {
    /// Act as the identity of this name, which lies in ~/.aip/identities/NAME; else AIP_AS, or the one without a name
    #[arg(long = "as", value_name = "NAME", global = true, value_parser = Name::from_str)]
    acting_as: Option<Name>,

    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Init(init::Args),
    Whoami(whoami::Args),
    Key(key::Args),
    MessageKey(message_key::Args),
    Sign(sign::Args),
    Submit(submit::Args),
    Verify(verify::Args),
    Trust(trust::Args),
    Gate(gate::Args),
    State(state::Args),
    Fetch(fetch::Args),
    Export(export::Args),
    Inspect(inspect::Args),
    RotateKey(rotate_key::Args),
    Recover(recover::Args),
    ReportCompromise(report_compromise::Args),
    Deactivate(deactivate::Args),
    Vouch(vouch::Args),
    Revoke(revoke::Args),
    Distrust(distrust::Args),
    Confirm(confirm::Args),
    ReportFailure(report_failure::Args),
    Withdraw(withdraw::Args),
    ReportEquivocation(report_equivocation::Args),
    Message(message::Args),
    #[command(visible_alias = "messages")]
    Inbox(inbox::Args),
    Reply(reply::Args),
    Mailbox(mailbox::Args),
    Policy(policy::Args),
    Log(log::Args),
    GithubAction(github_action::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// The words in which `program` speaks of its commands.
pub(crate) fn words(program: Option<&OsString>) -> Words {
    match program_name(program) {
        SHORT_NAME => |text| Some(as_typed(text, SHORT_NAME)),
        _ => |text| Some(as_typed(text, LONG_NAME)),
    }
}

/// Parses `arguments`, the first of which is the program's name, and runs the command.
pub(crate) fn run(arguments: &[OsString], console: &mut Console) -> Result<Exit> {
    let facts = [("signatures", signature_backend())];
    if let Some(text) = manual::version(arguments.iter().cloned(), env!("CARGO_PKG_VERSION"), &facts) {
        console.raw(text.as_bytes());
        return Ok(Exit::Yes);
    }
    // What cannot be parsed is not asked what it means.
    let wants_json =
        arguments.iter().take_while(|argument| *argument != "--").any(|argument| argument == "--json");
    let name = program_name(arguments.first());
    let parsed = cli(name)
        .try_get_matches_from(arguments)
        .and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, asks_for_json(&matches))));
    let (cli, as_json) = match parsed {
        Ok(parsed) => parsed,
        Err(error) if error.use_stderr() => {
            // The library writes usage errors in the form of ours, but repeats arguments as they are: a newline in one
            // would let it speak for this program.
            let shown = arguments.iter().map(|argument| printable(&argument.to_string_lossy()).into_owned());
            match cli(name).try_get_matches_from(shown) {
                Err(error) => drop(error.print()),
                Ok(_) => console.failure(&usage_failure(&error)),
            }
            if wants_json {
                console.json_failure(&usage_failure(&error));
            }
            return Ok(Exit::Unable);
        }
        Err(help) => {
            console.raw(help.render().to_string().as_bytes());
            return Ok(Exit::Yes);
        }
    };
    if let Some(name) = cli.acting_as {
        chosen::choose(name);
    }
    let done = run_command(cli.command, name, console);
    if let (Err(failure), true) = (&done, as_json) {
        console.json_failure(failure);
    }
    done
}

fn run_command(command: Command, name: &'static str, console: &mut Console) -> Result<Exit> {
    match command {
        Command::Init(args) => init::run(args, console),
        Command::Whoami(args) => whoami::run(args, console),
        Command::Key(args) => key::run(args, console),
        Command::MessageKey(args) => message_key::run(args, console),
        Command::Sign(args) => sign::run(args, console),
        Command::Submit(args) => submit::run(args, console),
        Command::Verify(args) => verify::run(args, console),
        Command::Trust(args) => trust::run(args, console),
        Command::Gate(args) => gate::run(args, console),
        Command::State(args) => state::run(args, console),
        Command::Fetch(args) => fetch::run(args, console),
        Command::Export(args) => export::run(args, console),
        Command::Inspect(args) => inspect::run(args, console),
        Command::RotateKey(args) => rotate_key::run(args, console),
        Command::Recover(args) => recover::run(args, console),
        Command::ReportCompromise(args) => report_compromise::run(args, console),
        Command::Deactivate(args) => deactivate::run(args, console),
        Command::Vouch(args) => vouch::run(args, console),
        Command::Revoke(args) => revoke::run(args, console),
        Command::Distrust(args) => distrust::run(args, console),
        Command::Confirm(args) => confirm::run(args, console),
        Command::ReportFailure(args) => report_failure::run(args, console),
        Command::Withdraw(args) => withdraw::run(args, console),
        Command::ReportEquivocation(args) => report_equivocation::run(args, console),
        Command::Message(args) => message::run(args, console),
        Command::Inbox(args) => inbox::run(args, console),
        Command::Reply(args) => reply::run(args, console),
        Command::Mailbox(args) => mailbox::run(args, console),
        Command::Policy(args) => policy::run(args, console),
        Command::Log(args) => log::run(args, console),
        Command::GithubAction(args) => github_action::run(args, console),
        Command::Completions(args) => completions::run(args, name, console),
        Command::Man(args) => man::run(args, name, console),
    }
}

/// A usage error as the JSON of other failures has it: what stands before the first empty line, on one, without the
/// word `error`.
fn usage_failure(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let lines: Vec<&str> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    let line = lines.join(" ");
    Failure::new(line.strip_prefix("error: ").unwrap_or(&line)).hint("--help says what the command takes")
}

/// Whether the command has `--json`, and got it.
fn asks_for_json(mut matches: &ArgMatches) -> bool {
    while let Some((_, of_command)) = matches.subcommand() {
        matches = of_command;
    }
    matches.try_get_one("json").is_ok_and(|json| json == Some(&true))
}

/// The command line under the name it was called by.
fn cli(name: &'static str) -> clap::Command {
    let command = Cli::command().name(name).bin_name(name);
    let command = if name == SHORT_NAME { with_short_name(command) } else { command };
    let help = help_template(&command);
    command.help_template(help)
}

/// Help that speaks of commands by the name that was typed.
fn with_short_name(mut command: clap::Command) -> clap::Command {
    if let Some(about) = command.get_long_about().map(|text| with_program(&text.to_string(), SHORT_NAME)) {
        command = command.long_about(about);
    }
    let names: Vec<String> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, with_short_name))
}

/// Messages that speak of commands as they are to be typed: by the name of the program that was typed, and as the
/// identity that was named. Everything here is written `aip-attest COMMAND`.
fn as_typed(text: &str, program: &str) -> String {
    match chosen::by_flag() {
        None => with_program(text, program),
        Some(name) => with_program(text, &format!("{program} --as {}", name.as_str())),
    }
}

/// The text with every `aip-attest COMMAND` under another name. What is followed by no command is no call of this program.
fn with_program(text: &str, program: &str) -> String {
    let mut said = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(LONG_NAME) {
        let word =
            after.strip_prefix(' ').map(|after| after.split([' ', '`', '\n']).next().unwrap_or_default());
        let is_command = |word: &str| GROUPS.iter().any(|(_, names)| names.contains(&word));
        // A path that ends so is somebody's folder.
        let is_word = before.is_empty() || before.ends_with([' ', '`', '(', '\n']);
        said.push_str(before);
        said.push_str(match word.filter(|_| is_word) {
            Some(word) if is_command(word) => program,
            // It names an identity itself.
            Some("--as") => program.split(' ').next().unwrap_or(program),
            _ => LONG_NAME,
        });
        rest = after;
    }
    said + rest
}

const LONG_NAME: &str = "aip-attest";

/// The name of the Python original.
const SHORT_NAME: &str = "aip";

/// The help page, with the commands by what they are for: the library lists them all under one heading.
fn help_template(command: &clap::Command) -> String {
    let width = command.get_subcommands().map(|command| command.get_name().len()).max().unwrap_or(0);
    let mut page = "{about-with-newline}\n{usage-heading} {usage}\n".to_owned();
    for (heading, names) in GROUPS {
        page.push_str(&format!("\n{heading}:\n"));
        for command in names.iter().filter_map(|name| command.find_subcommand(name)) {
            let about = command.get_about().map_or(String::new(), ToString::to_string);
            page.push_str(&format!("  {:<width$}  {about}\n", command.get_name()));
        }
    }
    page.push_str(&format!("  {:<width$}  Print this, or the help of a command: help sign\n", "help"));
    page.push_str("\nOptions:\n{options}{after-help}");
    page
}

/// Every command, once.
const GROUPS: [(&str, &[&str]); 6] = [
    (
        "Identity",
        &[
            "init",
            "whoami",
            "key",
            "message-key",
            "rotate-key",
            "recover",
            "report-compromise",
            "deactivate",
            "state",
        ],
    ),
    ("Sign and verify", &["sign", "submit", "fetch", "verify", "inspect", "export", "github-action"]),
    (
        "Trust",
        &[
            "gate",
            "trust",
            "vouch",
            "revoke",
            "distrust",
            "confirm",
            "report-failure",
            "withdraw",
            "report-equivocation",
        ],
    ),
    ("Messages", &["message", "inbox", "reply", "mailbox"]),
    ("Log", &["policy", "log"]),
    ("Help", &["completions", "man"]),
];

/// One of the two names; who renamed the file gets the first.
fn program_name(argument: Option<&OsString>) -> &'static str {
    let stem = argument.and_then(|argument| Path::new(argument).file_stem());
    if stem.is_some_and(|stem| stem == SHORT_NAME) { SHORT_NAME } else { LONG_NAME }
}

/// The moment after `timeout`, else after what `AIP_TIMEOUT` says.
fn deadline(timeout: Option<Duration>) -> Result<Instant> {
    let timeout = match (timeout, environment::var("AIP_TIMEOUT")?) {
        (Some(timeout), _) => timeout,
        (None, None) => TIMEOUT,
        (None, Some(text)) => parse_duration(&text)
            .map_err(|why| Failure::new(format!("AIP_TIMEOUT is `{text}`")).because(why))?,
    };
    Instant::now()
        .checked_add(timeout)
        .ok_or_else(|| Failure::new("the timeout is longer than any clock runs"))
}

/// What `--exclude` leaves out, told from the working folder.
fn excludes(patterns: &[String]) -> Result<Excludes> {
    let here = std::env::current_dir()
        .map_err(|error| Failure::new("cannot tell the working folder").caused_by(error))?;
    Excludes::parse(patterns, &here)
}

/// A step that waits longer holds up a build for a log that is down.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The failures of many things, each once: what a thousand artifacts have in common is said once, with their
/// number.
fn tell_each_once<'f>(failures: impl Iterator<Item = &'f Failure>, of_what: &str, console: &mut Console) {
    let mut told: Vec<(String, usize)> = Vec::new();
    for failure in failures {
        let line = failure.one_line();
        match told.iter_mut().find(|(known, _)| *known == line) {
            Some((_, times)) => *times += 1,
            None => {
                console.failure(failure);
                told.push((line, 1));
            }
        }
    }
    for (line, times) in told.iter().filter(|(_, times)| *times > 1) {
        console.note(format!("{times} {of_what}: {line}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        cli("aip-attest").debug_assert();
    }

    #[test]
    fn help_has_each_command_in_one_group() {
        let command = cli("aip-attest");
        let mut all: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
        let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        all.sort_unstable();
        grouped.sort_unstable();
        assert_eq!(grouped, all);
        let help = cli("aip").render_help().to_string();
        let headings: Vec<&str> = help.lines().filter(|line| line.ends_with(':')).collect();
        assert_eq!(
            headings,
            ["Identity:", "Sign and verify:", "Trust:", "Messages:", "Log:", "Help:", "Options:"]
        );
        for name in all {
            let lines = help.lines().filter(|line| line.starts_with(&format!("  {name} ")));
            assert!(lines.count() == 1, "{name}\n{help}");
        }
        assert!(
            help.contains("Usage: aip [OPTIONS] <COMMAND>") && help.contains("Exit codes: 0 yes"),
            "{help}"
        );
    }

    /// One meaning has one name: whoever learnt one of the two finds it at every command.
    #[test]
    fn signer_and_did_are_one_flag_everywhere() {
        fn look(command: &clap::Command, met: &mut usize) {
            for argument in command.get_arguments() {
                let Some(long @ ("did" | "signer")) = argument.get_long() else { continue };
                let other = if long == "did" { "signer" } else { "did" };
                let aliases = argument.get_visible_aliases().unwrap_or_default();
                assert!(
                    aliases.contains(&other),
                    "`{} --{long}` is not --{other} as well",
                    command.get_name()
                );
                *met += 1;
            }
            command.get_subcommands().for_each(|command| look(command, met));
        }
        let mut met = 0;
        look(&cli(SHORT_NAME), &mut met);
        assert!(met >= 5, "{met}");
    }

    #[test]
    fn messages_use_the_name_that_was_typed() {
        for (text, want) in [
            ("`aip-attest policy pin URL` pins one", "`aip policy pin URL` pins one"),
            (
                "`aip-attest submit RECEIPT`, then `aip-attest whoami`",
                "`aip submit RECEIPT`, then `aip whoami`",
            ),
            // What is no command is somebody's own: a file, an agent's name.
            ("cannot read `aip-attest notes`", "cannot read `aip-attest notes`"),
            ("`/home/me/aip-attest sign`", "`/home/me/aip-attest sign`"),
            ("`aip-attest/1.0` and aip-attest", "`aip-attest/1.0` and aip-attest"),
        ] {
            assert_eq!(with_program(text, SHORT_NAME), want);
            assert_eq!(with_program(text, LONG_NAME), text);
        }
        let named = "`aip-attest --as org init`, and `aip-attest init`";
        assert_eq!(with_program(named, SHORT_NAME), "`aip --as org init`, and `aip init`");
        assert_eq!(with_program(named, "aip --as me"), "`aip --as org init`, and `aip --as me init`");
    }

    #[test]
    fn both_names_are_known() {
        for (argument, want) in
            [("/usr/bin/aip", "aip"), ("aip.exe", "aip"), ("x/aip-attest", "aip-attest"), ("z", "aip-attest")]
        {
            assert_eq!(program_name(Some(&argument.into())), want);
        }
    }
}
