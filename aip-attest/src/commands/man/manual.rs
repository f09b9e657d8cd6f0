//! What the manual pages say besides flags. A test parses every example.

use manual::{Example, Manual, example};

/// The sections that clap does not know.
pub(super) const MANUAL: Manual =
    Manual { examples: EXAMPLES, exit_status: EXIT_STATUS, environment: ENVIRONMENT, files: FILES };

const EXIT_STATUS: &[(&str, &str)] = &[
    ("0", "yes: it was done, or checked and true"),
    ("1", "it was checked and is false"),
    ("2", "it could not be done, or could not be checked: nothing is decided"),
];

const ENVIRONMENT: &[(&str, &str)] = &[
    ("AIP_DID, AIP_PRIVATE_KEY", "the identity, before any file"),
    ("AIP_AS", "the name of the identity to act as, in ~/.aip/identities; --as comes before it"),
    ("AIP_MESSAGE_KEYS", "the private message keys, as message-key export prints them"),
    ("AIP_CREDENTIALS_PATH", "the credentials file, instead of ~/.aip/credentials.json"),
    ("AIP_PASSPHRASE", "what opens an encrypted credentials file, or encrypts a new one"),
    ("AIP_LOG_URL", "the log, where --log names none"),
    (
        "AIP_LOG_TOKEN",
        "the bearer token of a log that wants one: it goes to a log that you name or pinned, and to no other",
    ),
    ("AIP_POLICY", "the policy file, where --policy names none"),
    ("AIP_TRUST_ROOTS", "the DIDs that you trust yourself, for trust and gate, where --root names none"),
    ("AIP_TIMEOUT", "how long a log is waited for, such as 60s"),
    ("AIP_INPUT_…", "the inputs of the GitHub Action, as github-action reads them"),
    ("HOME", "where ~/.aip is; USERPROFILE on Windows"),
    (
        "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY",
        "the proxy before a log, and the hosts that are asked without it",
    ),
    ("SSL_CERT_FILE", "certificate authorities, besides those of the system"),
];

const FILES: &[(&str, &str)] = &[
    ("~/.aip/credentials.json", "the identity: its DID and its key"),
    ("~/.aip/next-….json", "the key that comes after it, and the logs that know the DID"),
    ("~/.aip/identities/NAME/", "the same of the identity that --as NAME takes"),
    ("~/aip-recovery-….json", "the recovery key, written once: move it off the machine"),
    ("~/.aip/pins/", "the logs that were pinned, and the largest tree that was seen of each"),
    ("~/.aip/seen-messages", "which messages were shown; with --state DIR in DIR"),
    ("~/.aip/findings/", "signed proof against a log that contradicted itself"),
    ("~/.aip/trust.toml", "your own settings and trust roots"),
    (".aip/policy, .aip/trust.toml", "policy and settings of a repository"),
    ("ARTIFACT.receipt.json", "the receipt of an artifact, beside it"),
];

/// A DID that is nobody's but the test vectors'.
macro_rules! did {
    () => {
        "did:aip:56475aa75463474c0285df5dbf2bcab7"
    };
}

const EXAMPLES: &[(&str, &[Example])] = &[
    (
        "",
        &[
            example("$ init --register --log https://log.example.com", "make an identity, and register it"),
            example("$ sign 'dist/*'", "sign what was built, and log it"),
            example(concat!("$ verify dist/app --signer ", did!()), "verify an artifact, offline"),
            example("$ help sign", "what a command takes"),
        ],
    ),
    (
        "init",
        &[
            example("$ init --platform github --username my-org", "make an identity; no network is needed"),
            example(
                "$ init --register --log https://log.example.com",
                "log its inception: gates accept it then",
            ),
            example(
                "$ --as org init --capabilities vouches --register",
                "make a second identity, which vouches",
            ),
        ],
    ),
    (
        "whoami",
        &[
            example("$ whoami", "who signs here, and what the log says of it"),
            example("$ whoami --offline --json | jq -r .did", "the DID, for a script"),
        ],
    ),
    ("key", &[example("$ key export | gh secret set AIP_PRIVATE_KEY", "the key into a secret store")]),
    ("key export", &[example("$ key export | gh secret set AIP_PRIVATE_KEY", "the key into a secret store")]),
    (
        "sign",
        &[
            example("$ sign 'dist/*'", "one statement for each file"),
            example("$ sign dist --receipts receipts", "receipts into a folder of their own"),
            example("$ sign app --predicate-type cyclonedx --predicate sbom.json", "an SBOM of it"),
            example("tar c dir | $ sign - --name dir.tar --receipts receipts", "what is piped in"),
            example("$ sign --no-log app", "sign now, log later: submit"),
        ],
    ),
    (
        "submit",
        &[
            example("$ submit receipts", "log what waits in a folder"),
            example("$ submit app", "get a new proof for a logged receipt"),
        ],
    ),
    (
        "verify",
        &[
            example(concat!("$ verify 'dist/*' --signer ", did!()), "each has a receipt by this signer"),
            example(concat!("$ verify app --signer ", did!(), " --policy policy"), "by a policy of your own"),
            example("$ verify app --any-signer --json", "who signed it, for a script"),
            example(
                "$ verify app --bundle app.sigstore.json --trusted-root root.json --key key.pub --allow-unwitnessed",
                "what Sigstore's cosign signed with a key",
            ),
        ],
    ),
    (
        "export",
        &[
            example(
                "$ export --sigstore app.receipt.json",
                "a bundle for Sigstore's cosign, and its command",
            ),
            example("$ export --tlog-proof app.receipt.json --out app.tlog-proof", "the proof alone"),
        ],
    ),
    (
        "trust",
        &[example(
            concat!("$ trust ", did!(), " --root ", did!()),
            "the score, hop by hop, and what would raise it",
        )],
    ),
    (
        "trust graph",
        &[example(
            concat!("$ trust graph ", did!(), " --root ", did!(), " > graph.svg"),
            "the same as a picture",
        )],
    ),
    (
        "gate",
        &[
            example(concat!("$ gate dist/app --did ", did!(), " --root ", did!()), "exit code 0: deploy"),
            example(
                concat!("$ gate --did ", did!(), " --threshold 0.5 --evidence-out evidence.json"),
                "keep what decided it, to decide the same offline",
            ),
        ],
    ),
    (
        "state",
        &[example(
            concat!("$ state export --did ", did!(), " --out state.json"),
            "the state of a DID, for verify --state",
        )],
    ),
    (
        "state export",
        &[example(
            concat!("$ state export --did ", did!(), " --out state.json"),
            "the state of a DID, for verify --state",
        )],
    ),
    ("fetch", &[example(concat!("$ fetch app --signer ", did!()), "get the receipt of a file from the log")]),
    (
        "inspect",
        &[
            example("$ inspect app.receipt.json", "what a receipt says"),
            example(
                "$ inspect --finding fork.json --vkey log.example.com/pipelines+1d6673ac+AdBKsjJ0K7SrOhNovUYV5ObQIkq3GgFrr4UgozLJd4c3",
                "confirm that a log contradicted itself",
            ),
        ],
    ),
    (
        "rotate-key",
        &[
            example("$ rotate-key", "the next key takes over; the same command finishes one that broke off"),
            example("$ key export | gh secret set AIP_PRIVATE_KEY", "then the new key into the secret store"),
        ],
    ),
    (
        "recover",
        &[
            example("$ recover --recovery aip-recovery.json", "new keys after a theft or a loss"),
            example(
                "$ recover --recovery aip-recovery.json --since 4711",
                "what was logged from that index on is void",
            ),
        ],
    ),
    (
        "report-compromise",
        &[example("$ report-compromise --since 4711", "from that index on the key was a thief's")],
    ),
    ("deactivate", &[example("$ deactivate --yes", "end the DID, for ever")]),
    (
        "vouch",
        &[example(
            concat!("$ --as org vouch ", did!(), " --scope CODE_SIGNING --level STRONG --expires 90d"),
            "by an identity that no build can read",
        )],
    ),
    ("revoke", &[example(concat!("$ --as org revoke ", did!()), "take back what was said of it")]),
    ("distrust", &[example(concat!("$ --as org distrust ", did!()), "warn those who trust you")]),
    ("confirm", &[example(concat!("$ confirm app --did ", did!()), "you built the same bytes")]),
    (
        "report-failure",
        &[example(concat!("$ report-failure app --did ", did!(), " --reason digest"), "it did not verify")],
    ),
    ("withdraw", &[example(concat!("$ withdraw ", did!(), " --failure 4711"), "take a report back")]),
    (
        "report-equivocation",
        &[example(
            "$ report-equivocation one.receipt.json two.receipt.json",
            "two builds of one thing that differ",
        )],
    ),
    (
        "message",
        &[
            example(
                concat!("$ message ", did!(), " 'Build 3f1c2a9 complete. Artifacts signed.'"),
                "tell a partner, who alone can read it",
            ),
            example(
                concat!("$ message --to ", did!(), " --receipt app.tar.gz.receipt.json 'ready to deploy'"),
                "name the artifact and its entry, for inbox --artifact",
            ),
            example(concat!("git log -1 | $ message ", did!(), " -"), "from standard input"),
        ],
    ),
    (
        "inbox",
        &[
            example("$ inbox", "what waits for you"),
            example(
                "$ inbox --unread --ack --save mail",
                "what is new, with its files; then delete it there",
            ),
            example(
                concat!("$ inbox --wait 30m --from ", did!(), " --artifact app.tar.gz --ack"),
                "wait until a pipeline says that this file is built",
            ),
        ],
    ),
    (
        "message-key",
        &[
            example("$ message-key rotate", "a key for messages, which replaces the one before"),
            example("$ message-key export | gh secret set AIP_MESSAGE_KEYS", "the keys into a secret store"),
        ],
    ),
    (
        "message-key rotate",
        &[example("$ message-key rotate", "a key for messages, which replaces the one before")],
    ),
    ("message-key list", &[example("$ message-key list", "which keys are here, and which the log has")]),
    (
        "message-key export",
        &[example("$ message-key export | gh secret set AIP_MESSAGE_KEYS", "the keys into a secret store")],
    ),
    (
        "mailbox",
        &[
            example("$ mailbox --accept registered", "no messages of DIDs that cost nothing"),
            example(concat!("$ mailbox --accept anyone --block ", did!()), "none of this one"),
        ],
    ),
    ("reply", &[example("$ reply 8ad04586 'Deployed.'", "answer a message in the mailbox")]),
    (
        "policy",
        &[
            example(
                "$ policy pin https://log.example.com",
                "believe this log, once its fingerprint was compared",
            ),
            example("$ policy check .aip/policy", "what a policy is worth, and its SHA-256"),
        ],
    ),
    (
        "policy pin",
        &[
            example("$ policy pin https://log.example.com", "show the policy, and ask whether to believe it"),
            example(
                "$ policy pin https://log.example.com --expect sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                "pin it where it has the fingerprint that reached you on another way",
            ),
            example("$ policy pin --policy policy", "pin a file, and ask nobody"),
        ],
    ),
    (
        "policy show",
        &[
            example("$ policy show", "the pinned logs"),
            example(
                "$ policy show log.example.com/pipelines > .aip/policy",
                "commit the policy, for machines that forget",
            ),
        ],
    ),
    (
        "policy export",
        &[example(
            "$ policy export --sigstore --out trusted_root.json",
            "the logs of the policy, for Sigstore's cosign",
        )],
    ),
    ("policy unpin", &[example("$ policy unpin localhost/start --yes", "a log that is gone for good")]),
    ("policy check", &[example("$ policy check .aip/policy", "what a policy is worth, and its SHA-256")]),
    ("log", &[example("$ log sync --all", "does each pinned log still say the same?")]),
    ("log sync", &[example("$ log sync --all", "does each pinned log still say the same?")]),
    ("github-action", &[example("$ github-action", "what action.yml calls, in a runner")]),
    ("completions", &[example("$ completions bash > /etc/bash_completion.d/aip", "for bash")]),
    (
        "man",
        &[
            example("$ man | man -l -", "read this page"),
            example("$ man /usr/local/share/man/man1", "write all pages"),
        ],
    ),
];
