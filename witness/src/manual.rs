//! What the manual pages say besides flags.

use manual::{Example, Manual, example};

/// The sections that clap does not know.
pub(crate) const MANUAL: Manual = Manual {
    examples: EXAMPLES,
    exit_status: &[
        ("0", "it was done, or checked and nothing is wrong"),
        ("1", "it was checked: something is damaged"),
        ("2", "it is refused, or could not be done or checked: a person has to look"),
        ("70", "the disk is full, read-only or failing, or a write failed: start it again"),
    ],
    environment: &[
        ("AIP_LOG_LEVEL", "how much is said on stderr: error, warn, info (the default), debug, trace"),
        ("HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY", "the proxy before lists and logs"),
        ("SSL_CERT_FILE", "certificate authorities, besides those of the system"),
    ],
    files: &[
        ("DIR/witness.toml", "name, keys, lists of logs, settings"),
        ("DIR/ed25519.skey, DIR/ml-dsa-44.skey", "the witness's private keys, mode 0600"),
        ("DIR/logs", "the logs that are cosigned; SIGHUP reads it again"),
        ("DIR/logs.learned", "the logs that lists brought"),
        ("DIR/db/", "what was cosigned, and proof against logs: never restore it from a copy"),
        ("DIR.cosigned", "what was cosigned, a second time, beside the directory: never restore it"),
    ],
};

const EXAMPLES: &[(&str, &[Example])] = &[
    (
        "",
        &[
            example(
                "$ init --dir /var/lib/aip-witness/witness --name witness.example.com/w1 --url https://witness.example.com > w1.policy",
                "make a witness; w1.policy goes to the operators of logs",
            ),
            example("$ serve --dir /var/lib/aip-witness/witness --listen 127.0.0.1:8081", "serve it"),
        ],
    ),
    (
        "init",
        &[example(
            "$ init --dir /var/lib/aip-witness/witness --name witness.example.com/w1 --url https://witness.example.com > w1.policy",
            "w1.policy goes to the operators of logs: log-server policy --witness w1.policy",
        )],
    ),
    (
        "serve",
        &[example("$ serve --dir /var/lib/aip-witness/witness --listen 127.0.0.1:8081", "until SIGTERM")],
    ),
    ("status", &[example("$ status --dir /var/lib/aip-witness/witness", "what was cosigned of each log")]),
    (
        "findings",
        &[example(
            "$ findings --dir /var/lib/aip-witness/witness --export findings",
            "what convicts a log: aip inspect --finding confirms it",
        )],
    ),
    (
        "fsck",
        &[
            example("$ fsck --dir /var/lib/aip-witness/witness", "a witness that is stopped"),
            example(
                "$ fsck --dir /var/lib/aip-witness/witness --salvage",
                "make a new database of what can be read",
            ),
        ],
    ),
    (
        "monitor",
        &[example(
            "$ monitor --policy policy --dir /var/lib/aip-monitor --once",
            "as `monitor --policy policy --dir /var/lib/aip-monitor --once`",
        )],
    ),
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
