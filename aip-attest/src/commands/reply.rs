use attestation::Did;
use attestation::message::{
    Content, LegacyContent, LegacyMail, List, MAX_PAGE, MessageId, Sealed, TEXT, Waiting,
};

use super::log_args::LogArgs;
use super::message::{Post, report};
use crate::keyfile::{self, OwnIdentity};
use crate::messages::composing::{self, Draft, LIFE};
use crate::messages::judging::{Again, Judged, MailJudge, Verdict};
use crate::messages::keys::Held;
use crate::messages::legacy;
use crate::messages::relay::Relay;
use crate::policy_file::pins::Pins;
use crate::report::{Console, Exit, Failure, Result};

/// Answer a message that is still in the mailbox
///
/// The message is opened and judged again; one that is refused is not answered. The answer names it, so that its sender finds
/// it with `inbox --in-reply-to ID`, and goes to its sender alone, or with --all to its whole group.
///
/// Exit codes: as `message`; 1 also if the message is refused; 2 also if it is not in the mailbox.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The message's id, or its first 8 digits or more
    #[arg(value_name = "ID", value_parser = parse_start)]
    id: String,

    /// The text, or `-` to read it from standard input
    #[arg(value_name = "TEXT|-")]
    text: String,

    /// Answer to everybody to whom the message went, too
    #[arg(long)]
    all: bool,

    #[command(flatten)]
    log: LogArgs,
}

/// The first digits of an id.
fn parse_start(text: &str) -> Result<String, String> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    match (MIN_DIGITS..=2 * MessageId::BYTES).contains(&text.len()) && text.bytes().all(is_digit) {
        true => Ok(text.to_owned()),
        false => Err(format!("an id is 32 lower-case hex digits, of which {MIN_DIGITS} are enough")),
    }
}

/// Fewer are not told apart.
const MIN_DIGITS: usize = 8;

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    let body = composing::text(&args.text)?;
    let identity = keyfile::load(console)?;
    let deadline = args.log.deadline()?;
    let pins = Pins::load()?;
    let target = args.log.meet(&pins, deadline, true, console)?;
    let post = Post { identity: &identity, target: &target, pins: &pins, deadline };
    let held = Held::of(&identity, console)?;
    let found = find(&args.id, &post, &held, console)?;
    let judge = judge(&post, held);
    judge.directory.refuse_unfounded()?;
    let (answered, sender, group) = answered(found, judge, console)?;
    let mut recipients: Vec<Did> = vec![sender];
    if args.all {
        recipients.extend(group);
        recipients.sort_unstable();
        recipients.dedup();
        if recipients.len() > 1 {
            recipients.retain(|did| *did != identity.did);
        }
    }
    let draft = Draft {
        body,
        content_type: TEXT.to_owned(),
        life: LIFE,
        in_reply_to: Some(answered),
        attachments: Vec::new(),
        artifacts: Vec::new(),
    };
    let sent = post.send(&draft, &recipients, console)?;
    report(&sent, args.log.json, console);
    Ok(sent.exit())
}

fn judge<'a>(post: &'a Post<'_>, held: Held) -> MailJudge<'a> {
    let OwnIdentity { did, .. } = post.identity;
    MailJudge {
        did: *did,
        held,
        directory: post.directory(),
        // It need not be new, and its text is not shown.
        seen: None,
        again: Again::Shown,
        from: Vec::new(),
        in_reply_to: None,
        registered_only: false,
        artifacts: Vec::new(),
        deadline: post.deadline,
    }
}

/// The copies of the message whose id begins so, that a key here may open.
fn find(start: &str, post: &Post<'_>, held: &Held, console: &mut Console) -> Result<Vec<Waiting>> {
    let mut relay = Relay::new(post.target, post.identity, post.deadline);
    let (mut after, mut found) = (0, Vec::new());
    let mut ids: Vec<MessageId> = Vec::new();
    loop {
        let page = relay.list(&List { after, keys: None, limit: MAX_PAGE, wait: 0 }, console)?;
        let Some(last) = page.messages.last() else { break };
        after = last.number.max(after);
        for waiting in page.messages {
            let text = match &waiting.content {
                Content::Sealed(text) => text,
                Content::Legacy(mail) => {
                    refuse_legacy(start, &waiting, mail.clone(), post.identity.did)?;
                    continue;
                }
            };
            let Ok(sealed) = Sealed::from_base64(text) else { continue };
            let is_ours = held.keys().iter().any(|key| key.id() == sealed.key_id());
            if is_ours && sealed.message_id().to_string().starts_with(start) {
                ids.push(sealed.message_id());
                found.push(waiting);
            }
        }
        if !page.more {
            break;
        }
    }
    ids.sort_unstable();
    ids.dedup();
    match ids[..] {
        [_] => Ok(found),
        [] => Err(Failure::new(format!("no message {start} is in the mailbox that a key here opens"))
            .because(
                "an answer goes to a message that waits: not to one that was acknowledged or has expired",
            )
            .hint("`aip-attest message DID TEXT --in-reply-to ID` answers without it")),
        _ => Err(Failure::new(format!("the ids of {} messages begin with {start}", ids.len()))
            .hint("give more digits of the id")),
    }
}

/// Refuses to answer mail of Python `aip`, which nothing falls back to.
fn refuse_legacy(start: &str, waiting: &Waiting, mail: LegacyContent, did: Did) -> Result<()> {
    let Ok(mail) = LegacyMail::parse(waiting.sender, did, mail) else { return Ok(()) };
    if !legacy::name_of(&mail).to_string().starts_with(start) {
        return Ok(());
    }
    Err(Failure::new(format!("{start} is mail of Python aip, which cannot open what `reply` sends"))
        .hint(format!("`aip-attest message {} TEXT --legacy` writes to it", waiting.sender)))
}

/// The message that is answered, its sender and its group.
fn answered(
    found: Vec<Waiting>,
    mut judge: MailJudge<'_>,
    console: &mut Console,
) -> Result<(MessageId, Did, Vec<Did>)> {
    let mut judged = Vec::new();
    judge.judge(found.into_iter().map(Into::into).collect(), &mut judged, console)?;
    let mut accepted = Vec::new();
    let mut worst = Failure::new("the message could not be judged");
    for Judged { id, sender, verdict, .. } in judged {
        match (id, sender, verdict) {
            (Some(id), Some(sender), Verdict::Accepted(letter)) => {
                accepted.push((id, sender, letter.recipients));
            }
            (_, _, Verdict::Refused { rule, why }) => {
                worst = Failure::refuted(format!("the message is refused, and not answered: {rule}"))
                    .because(why);
            }
            (_, _, Verdict::Unable(failure)) => worst = failure.because("the message could not be judged"),
            (_, _, Verdict::Accepted(_)) => {}
        }
    }
    match accepted.len() {
        0 => Err(worst),
        1 => Ok(accepted.remove(0)),
        // An id is its sender's choice, and is not secret: another's would get what is meant for one.
        _ => {
            let senders: Vec<String> = accepted.iter().map(|(_, sender, _)| sender.to_string()).collect();
            Err(Failure::new("messages of several senders have this id")
                .because(format!("they are of {}", senders.join(", ")))
                .hint("`aip-attest message DID TEXT --in-reply-to ID` says whom it answers"))
        }
    }
}
