mod fetch;
mod print;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::{Duration, Instant};

use attestation::Did;
use attestation::message::{EnvelopeId, MAX_SEALED_BYTES, MessageId, Sealed};
use tlog::Hash;

use self::fetch::Fetch;
use super::log_args::LogArgs;
use crate::artifact::{self, Excludes, Wanted};
use crate::bounded_file::read_bounded;
use crate::keyfile::{self, OwnIdentity};
use crate::messages::directory::Directory;
use crate::messages::judging::{Again, Arrived, Judged, MailJudge, Verdict};
use crate::messages::keys::Held;
use crate::messages::relay::Relay;
use crate::messages::saving;
use crate::messages::seen::Seen;
use crate::policy_file::pins::Pins;
use crate::report::{Console, Exit, Failure, Result, counted};
use crate::scoring::age::MaxAge;
use crate::target::Target;

/// Read the messages that wait for you
///
/// Each message is opened with a key that is here, and judged: its signature, its sender's state by evidence from the log, its
/// time, and whether it was shown before. The first check that does not pass is the reason why a message is refused; the text
/// of one that is refused or could not be judged is not shown.
///
/// Messages stay at the relay until --ack deletes what was accepted and shown (and --refused what was refused), or they expire. What was shown is kept in
/// `seen-messages` beside the credentials, or in the folder of --state; with an identity from the environment alone nothing is
/// kept, and a message may be shown as new again.
///
/// With --artifact a message counts only if it names the file's digest (`artifact-listed`) with an entry in this log
/// (`artifact-entry`), and that entry's receipt, attached or fetched, verifies as signed by the message's sender. The message
/// triggers; the receipt proves: let `gate` decide about the file.
///
/// Text of others is printed behind `  | `, with control characters and what a runner takes for a command escaped. Never run
/// it, and never write it to GITHUB_OUTPUT or GITHUB_ENV.
///
/// Exit codes: 0 the mailbox was read; 2 it could not be, or a message could not be judged. With --wait: 0 an accepted message
/// matched; 1 only refused ones did; 2 none came. With --open: 0 accepted; 1 refused; 2 could not be judged.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Wait for a message that matches, for so long at most; one that waits already counts
    #[arg(long, value_name = "DURATION", value_parser = super::parse_duration)]
    wait: Option<Duration>,

    /// Only messages of this sender (can be repeated)
    #[arg(long, value_name = "DID")]
    from: Vec<Did>,

    /// Only answers to this message
    #[arg(long, value_name = "ID", value_parser = MessageId::from_str)]
    in_reply_to: Option<MessageId>,

    /// Only messages that prove this file, or sha256:HEX, by a receipt of their sender (can be repeated: all of them)
    #[arg(long, value_name = "FILE")]
    artifact: Vec<OsString>,

    /// Only messages of senders that the log registered
    #[arg(long)]
    registered_only: bool,

    /// How old the log's checkpoint may be that judges senders, or `none` for any age; else 24h, where witnesses attest one
    #[arg(long, value_name = "DURATION", value_parser = MaxAge::parse)]
    max_age: Option<MaxAge>,

    /// Only messages that were not shown before
    #[arg(long)]
    unread: bool,

    /// Delete at the relay what was accepted and shown
    #[arg(long, conflicts_with = "open")]
    ack: bool,

    /// With --ack: delete what was refused too, unless it is sealed to a key of another device
    #[arg(long, requires = "ack")]
    refused: bool,

    /// Save attachments as DIR/<message id>/<name>; no file that is there is overwritten
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,

    /// Read one sealed message from a file, as `message --out` writes it, instead of the mailbox
    #[arg(long, value_name = "FILE", conflicts_with_all = ["wait", "limit"])]
    open: Option<PathBuf>,

    /// Keep in this folder which messages were shown, instead of beside the credentials
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,

    /// Show so many accepted messages at most, the oldest first
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,

    #[command(flatten)]
    log: LogArgs,

    /// Of Python `aip`.
    #[arg(long, hide = true)]
    mark_read: bool,

    /// Of Python `aip`.
    #[arg(long, hide = true)]
    no_decrypt: bool,
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    refuse_flags_of_before(&args)?;
    let sealed = args.open.as_deref().map(read).transpose()?;
    let artifacts = digests(&args.artifact)?;
    let identity = keyfile::load(console)?;
    let seen = Seen::of(&identity.source, args.state.as_deref());
    if args.unread && seen.is_none() {
        return Err(Failure::new(
            "nothing here keeps which messages were shown, and --unread asks for the others",
        )
        .because("the identity is from the environment alone")
        .hint("--state DIR names a folder that keeps it"));
    }
    let timeout = args.log.deadline()?.saturating_duration_since(Instant::now());
    let end = args.wait.map(after).transpose()?;
    let deadline = match end {
        Some(end) => after(end.saturating_duration_since(Instant::now()).saturating_add(timeout))?,
        None => after(timeout)?,
    };
    let pins = Pins::load()?;
    let target = args.log.meet(&pins, deadline, false, console)?;
    let directory = Directory::new(&target, &pins, args.max_age.unwrap_or_default(), timeout, deadline);
    directory.refuse_unfounded()?;
    let held = Held::of(&identity, console)?;
    let judge = MailJudge {
        did: identity.did,
        held,
        directory,
        seen,
        again: match (args.unread, args.wait) {
            (true, _) => Again::PassedOver,
            (false, Some(_)) => Again::Refused,
            (false, None) => Again::Shown,
        },
        from: args.from.clone(),
        in_reply_to: args.in_reply_to,
        registered_only: args.registered_only,
        artifacts,
        deadline,
    };
    Inbox { args: &args, identity: &identity, target: &target, deadline, end }.read(judge, sealed, console)
}

fn refuse_flags_of_before(args: &Args) -> Result<()> {
    let (flag, why) = match (args.mark_read, args.no_decrypt) {
        (true, _) => ("--mark-read", "the relay keeps no marks: a message waits there, or it is deleted"),
        (_, true) => ("--no-decrypt", "of what was not opened and judged nothing is shown"),
        (false, false) => return Ok(()),
    };
    Err(Failure::new(format!("`{flag}` is a flag of Python aip, and none here"))
        .because(why)
        .hint("--ack deletes what was accepted and shown; --unread shows what was not shown before"))
}

/// The moment after a duration.
fn after(duration: Duration) -> Result<Instant> {
    let moment = Instant::now().checked_add(duration);
    moment.ok_or_else(|| Failure::new("the time to wait is longer than any clock runs"))
}

fn read(path: &Path) -> Result<Sealed> {
    let cannot = || Failure::new(format!("cannot open the message `{}`", path.display()));
    let bytes = read_bounded(path, MAX_SEALED_BYTES as u64).map_err(|error| cannot().caused_by(error))?;
    Sealed::from_bytes(bytes).map_err(|error| {
        Failure::refuted(format!("`{}` is no sealed message: {}", path.display(), error.rule()))
            .caused_by(error)
    })
}

/// The digests of the files that a message must prove.
fn digests(arguments: &[OsString]) -> Result<Vec<Hash>> {
    let instead = ["name the file, or its digest: sha256:HEX"];
    artifact::refuse_piped(arguments, "inbox --artifact", &instead)?;
    let excludes = Excludes::default();
    let wanted = Wanted { arguments, excludes: &excludes, receipts: None };
    let artifacts = if arguments.is_empty() { Vec::new() } else { artifact::to_judge(&wanted).all()? };
    Ok(artifacts.iter().map(|hashed| hashed.sha256).collect())
}

struct Inbox<'a> {
    args: &'a Args,
    identity: &'a OwnIdentity,
    target: &'a Target,
    deadline: Instant,
    /// Until when a message is waited for.
    end: Option<Instant>,
}

impl Inbox<'_> {
    fn read(&self, mut judge: MailJudge<'_>, sealed: Option<Sealed>, console: &mut Console) -> Result<Exit> {
        let mut relay = Relay::new(self.target, self.identity, self.deadline);
        let mut judged = Vec::new();
        let fetched = match sealed {
            Some(sealed) => judge.judge(vec![Arrived::file(&sealed)], &mut judged, console),
            None => {
                let (identity, limit) = (self.identity, self.args.limit);
                let fetch = Fetch { relay: &mut relay, identity, end: self.end, limit };
                fetch.all(&mut judge, &mut judged, console)
            }
        };
        if let (Err(failure), []) = (&fetched, &judged[..]) {
            return Err(failure.clone());
        }
        let unsaved = self.save(&mut judged, console);
        print::print(&judged, judge.directory.as_of(), self.args.log.json, console);
        let acknowledged = self.acknowledge(&judged, &unsaved, &mut relay, console);
        let saved = if unsaved.is_empty() { Exit::Yes } else { Exit::Unable };
        // Of what broke off, nobody knows what it would have found.
        let mut exit = fetched.as_ref().map_or_else(Failure::exit, |()| saved.and(self.verdict(&judged)));
        for failure in [fetched, acknowledged].into_iter().filter_map(Result::err) {
            console.failure(&failure);
            exit = failure.exit().and(exit);
        }
        Ok(exit)
    }

    /// Saves the attachments of what was accepted; which messages have some that could not be.
    fn save(&self, judged: &mut [Judged], console: &mut Console) -> BTreeSet<EnvelopeId> {
        let mut unsaved = BTreeSet::new();
        let Some(folder) = &self.args.save else { return unsaved };
        for one in judged {
            let (Verdict::Accepted(letter), Some(id)) = (&mut one.verdict, one.id) else { continue };
            match saving::save(folder, id, &letter.attachments) {
                Ok(files) => letter.saved = files,
                Err(failure) => {
                    console.failure(
                        &failure.because("a message whose attachments are not saved stays at the relay"),
                    );
                    unsaved.insert(one.envelope);
                }
            }
        }
        unsaved
    }

    /// Deletes what was accepted and shown, and what was refused if that is asked for. Whoever reads stdout must have got it,
    /// and a message's files must be saved: one that could not be does not keep the others.
    fn acknowledge(
        &self,
        judged: &[Judged],
        unsaved: &BTreeSet<EnvelopeId>,
        relay: &mut Relay<'_>,
        console: &mut Console,
    ) -> Result<()> {
        // A copy for another device is that one's to delete.
        let is_refused = |one: &Judged| match &one.verdict {
            Verdict::Refused { rule, .. } => self.args.refused && rule != "recipient-key",
            Verdict::Accepted(_) | Verdict::Unable(_) => false,
        };
        let is_shown = |one: &Judged| one.letter().is_some() && !unsaved.contains(&one.envelope);
        let shown = judged.iter().filter(|one| is_shown(one) || is_refused(one));
        let ids: Vec<EnvelopeId> = shown.flat_map(Judged::envelopes).collect();
        if !self.args.ack || ids.is_empty() {
            return Ok(());
        }
        if !console.has_delivered() {
            return Err(Failure::new("nothing was deleted: the messages stay at the relay")
                .because("not everything could be written to stdout"));
        }
        relay.acknowledge(&ids, console).map(|_| ()).map_err(|failure| {
            failure.because(format!(
                "{} may still be at the relay, and come again",
                counted(ids.len(), "message")
            ))
        })
    }

    fn verdict(&self, judged: &[Judged]) -> Exit {
        let any = |is: fn(&Verdict) -> bool| judged.iter().any(|one| is(&one.verdict));
        let (accepted, refused, unable) = (
            any(|verdict| matches!(verdict, Verdict::Accepted(_))),
            any(|verdict| matches!(verdict, Verdict::Refused { .. })),
            any(|verdict| matches!(verdict, Verdict::Unable(_))),
        );
        let decides = self.args.wait.is_some() || self.args.open.is_some();
        match (decides, accepted, refused, unable) {
            (false, _, _, false) | (true, true, _, _) => Exit::Yes,
            (true, false, true, false) => Exit::False,
            (false, _, _, true) | (true, false, _, _) => Exit::Unable,
        }
    }
}
