//! What the manual pages say besides flags.

use manual::{Example, Manual, example};

/// The sections that clap does not know.
pub(crate) const MANUAL: Manual = Manual {
    examples: EXAMPLES,
    exit_status: &[
        ("0", "it was done, or checked and is as it must be"),
        ("1", "it was checked and is not so: the first damaged object is named"),
        ("2", "it is refused, or could not be done or checked: a person has to look"),
        ("70", "the disk is full, read-only or failing, or a write failed: start it again"),
    ],
    environment: &[
        ("AIP_LOG_LEVEL", "how much is said on stderr: error, warn, info (the default), debug, trace"),
        ("HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY", "the proxy before witnesses and mirrors"),
        ("SSL_CERT_FILE", "certificate authorities, besides those of the system"),
    ],
    files: &[
        ("DIR/log.toml", "origin, name for cosign, settings"),
        (
            "DIR/policy",
            "what consumers pin, and the witnesses that the log asks; policy.old is the earlier one, where that named witnesses",
        ),
        ("DIR/log.skey, DIR/log-ml-dsa.skey", "the log's private keys, mode 0600"),
        ("DIR/db/", "entries, tiles, lookups, envelopes"),
        ("DIR/mail/", "messages that wait for their recipients; in no backup"),
        ("DIR.signed", "what was signed last, beside the directory: never restore it from a copy"),
        ("DIR.signed.shown", "a checkpoint that a witness showed and this directory contradicts: proof"),
    ],
};

const EXAMPLES: &[(&str, &[Example])] = &[
    (
        "",
        &[
            example(
                "$ init --dir /var/lib/aip-log --origin log.example.com/pipelines --url https://log.example.com",
                "make a log",
            ),
            example(
                "$ policy --dir /var/lib/aip-log --witness w1.policy --witness w2.policy --quorum 2",
                "name its witnesses",
            ),
            example("$ serve --dir /var/lib/aip-log --listen 127.0.0.1:8080", "serve it"),
        ],
    ),
    (
        "init",
        &[example(
            "$ init --dir /var/lib/aip-log --origin log.example.com/pipelines --url https://log.example.com",
            "prints the log's key",
        )],
    ),
    (
        "policy",
        &[
            example(
                "$ policy --dir /var/lib/aip-log --witness w1.policy --witness w2.policy --quorum 2",
                "both must cosign what is published",
            ),
            example("systemctl reload aip-log", "a running log reads it (SIGHUP)"),
        ],
    ),
    (
        "serve",
        &[example(
            "$ serve --dir /var/lib/aip-log --listen 127.0.0.1:8080 --trusted-proxy 127.0.0.1/32 --operator-listen 127.0.0.1:9080",
            "behind a reverse proxy on this machine",
        )],
    ),
    (
        "fsck",
        &[
            example("$ fsck --dir /var/lib/aip-log", "a log that is stopped"),
            example("$ fsck --url https://log.example.com", "any log with C2SP tiles"),
        ],
    ),
    (
        "erase",
        &[example(
            "$ erase e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 --reason 'names a person' --dir /var/lib/aip-log",
            "its entry, proofs and receipts stay valid",
        )],
    ),
    (
        "backup",
        &[example("$ backup --dir /var/lib/aip-log --to /backup/2026-11-30", "also of a log that runs")],
    ),
    (
        "restore",
        &[example(
            "$ restore --from /backup/2026-11-30 --dir /var/lib/aip-log --key log.skey",
            "then recover what came after it",
        )],
    ),
    (
        "mirror",
        &[
            example(
                "$ mirror --from https://log.example.com --to /srv/mirror --policy policy",
                "then serve /srv/mirror with any web server",
            ),
            example(
                "*/5 * * * *  log-server mirror --from https://log.example.com --to /srv/mirror --policy /srv/policy",
                "keep it young by cron",
            ),
        ],
    ),
    (
        "recover",
        &[example(
            "$ recover --dir /var/lib/aip-log --from https://mirror.example.org",
            "bring back what was signed",
        )],
    ),
    ("salvage", &[example("$ salvage --dir /var/lib/aip-log", "make a whole database of what can be read")]),
    (
        "man",
        &[
            example("$ man | man -l -", "read this page"),
            example("$ man /usr/local/share/man/man1", "write all pages"),
        ],
    ),
];

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::Cli;

    #[test]
    fn every_command_has_examples_and_every_example_parses() {
        assert_eq!(MANUAL.unfit(&Cli::command()), [""; 0]);
    }
}
