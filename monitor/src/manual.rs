//! What the manual pages say besides flags.

use manual::{Example, Manual, example};

/// The sections that clap does not know.
pub(crate) const MANUAL: Manual = Manual {
    examples: EXAMPLES,
    exit_status: &[
        ("0", "it was checked, and nothing is wrong"),
        ("1", "there are findings, or with --known entries were told"),
        ("2", "it could not be checked, or not in time; wrong arguments"),
    ],
    environment: &[
        ("AIP_LOG_LEVEL", "how much is said on stderr: error, warn, info (the default), debug, trace"),
        (
            "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY",
            "the proxy before logs and witnesses; the webhook is never behind one",
        ),
        ("SSL_CERT_FILE", "certificate authorities, besides those of the system"),
    ],
    files: &[
        ("DIR/state.json", "how far the log was checked"),
        ("DIR/identities, DIR/earlier/", "what later entries may speak of: one record with the state"),
        ("DIR/findings/", "what was found, each with its proof"),
        ("DIR/alerts.jsonl", "entries of watched DIDs"),
        ("DIR/printed, DIR/posted", "how far alerts were told, on standard output and to the webhook"),
    ],
};

const EXAMPLES: &[(&str, &[Example])] = &[
    (
        "",
        &[
            example(
                "$ --policy policy --dir /var/lib/aip-monitor --watch-did did:aip:56475aa75463474c0285df5dbf2bcab7",
                "follow a log, and tell of every entry in this name",
            ),
            example(
                "$ --policy policy --dir /var/lib/aip-monitor --once",
                "check what is there now; the exit code says whether something is wrong",
            ),
        ],
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
    use super::*;

    #[test]
    fn every_command_has_examples_and_every_example_parses() {
        assert_eq!(MANUAL.unfit(&crate::command()), [""; 0]);
    }
}
