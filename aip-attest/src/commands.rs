//! The commands: one file each, with its help text, its arguments and what it does.

mod completions;
mod confirm;
mod deactivate;
mod distrust;
mod emergency;
mod fetch;
mod gate;
mod github_action;
mod init;
mod inspect;
mod key;
mod log;
mod log_args;
mod man;
mod policy;
mod recover;
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
use std::time::{Duration, Instant};

use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _, Parser};

use crate::artifact::Excludes;
use crate::clock::parse_duration;
use crate::environment;
use crate::report::{Console, Exit, Failure, Result, printable};

/// Sign what a pipeline builds, log it, and verify it offline
#[derive(Parser)]
#[command(
    name = "aip-attest",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "Exit codes: 0 yes; 1 checked and false; 2 could not, or could not check"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Init(init::Args),
    Whoami(whoami::Args),
    Key(key::Args),
    Sign(sign::Args),
    Submit(submit::Args),
    Verify(verify::Args),
    Trust(trust::Args),
    Gate(gate::Args),
    State(state::Args),
    Fetch(fetch::Args),
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
    Policy(policy::Args),
    Log(log::Args),
    GithubAction(github_action::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// Parses `arguments`, the first of which is the program's name, and runs the command.
pub(crate) fn run(arguments: impl Iterator<Item = OsString>, console: &mut Console) -> Result<Exit> {
    let arguments: Vec<OsString> = arguments.collect();
    // What cannot be parsed is not asked what it means.
    let wants_json =
        arguments.iter().take_while(|argument| *argument != "--").any(|argument| argument == "--json");
    let name = program_name(arguments.first());
    let parsed = cli(name)
        .try_get_matches_from(&arguments)
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
        Command::Sign(args) => sign::run(args, console),
        Command::Submit(args) => submit::run(args, console),
        Command::Verify(args) => verify::run(args, console),
        Command::Trust(args) => trust::run(args, console),
        Command::Gate(args) => gate::run(args, console),
        Command::State(args) => state::run(args, console),
        Command::Fetch(args) => fetch::run(args, console),
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
    let help = help_template(&command);
    command.help_template(help)
}

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
    page.push_str("\nOptions:\n{options}{after-help}");
    page
}

/// Every command, once.
const GROUPS: [(&str, &[&str]); 5] = [
    (
        "Identity",
        &["init", "whoami", "key", "rotate-key", "recover", "report-compromise", "deactivate", "state"],
    ),
    ("Sign and verify", &["sign", "submit", "fetch", "verify", "inspect", "github-action"]),
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
    ("Log", &["policy", "log"]),
    ("Help", &["completions", "man"]),
];

/// One of the two names; who renamed the file gets the first.
fn program_name(argument: Option<&OsString>) -> &'static str {
    let stem = argument.and_then(|argument| Path::new(argument).file_stem());
    if stem.is_some_and(|stem| stem == "aip") { "aip" } else { "aip-attest" }
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
        assert_eq!(headings, ["Identity:", "Sign and verify:", "Trust:", "Log:", "Help:", "Options:"]);
        for name in all {
            let lines = help.lines().filter(|line| line.starts_with(&format!("  {name} ")));
            assert!(lines.count() == 1, "{name}\n{help}");
        }
        assert!(help.contains("Usage: aip <COMMAND>") && help.contains("Exit codes: 0 yes"), "{help}");
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
