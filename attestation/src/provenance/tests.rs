use tlog::Hash;

use super::ci::{SYSTEMS, public_url};
use super::*;
use crate::statement::Subject;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn from_ci(variables: &[(&str, &str)]) -> Option<Provenance> {
    let env = |name: &str| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    Provenance::from_ci(&env)
}

fn read(predicate: Value) -> BuildFacts {
    read_as(PREDICATE_TYPE, predicate)
}

fn read_as(predicate_type: &str, predicate: Value) -> BuildFacts {
    let Value::Object(predicate) = predicate else { panic!("an object") };
    let subjects = vec![Subject::new("a", Hash::default())];
    BuildFacts::read(&Statement::new(subjects, predicate_type, predicate).expect("a statement"))
}

const GITHUB: &[(&str, &str)] = &[
    ("GITHUB_ACTIONS", "true"),
    ("GITHUB_SERVER_URL", "https://github.com"),
    ("GITHUB_REPOSITORY", "octo/app"),
    ("GITHUB_SHA", COMMIT),
    ("GITHUB_REF", "refs/heads/main"),
    ("GITHUB_WORKFLOW_REF", "octo/app/.github/workflows/release.yml@refs/heads/main"),
    ("GITHUB_RUN_ID", "77"),
    ("GITHUB_RUN_ATTEMPT", "2"),
    ("GITHUB_EVENT_NAME", "push"),
    ("GITHUB_REPOSITORY_ID", "1"),
    ("GITHUB_REPOSITORY_OWNER_ID", "2"),
    ("RUNNER_ENVIRONMENT", "github-hosted"),
    ("RUNNER_OS", "Linux"),
    ("RUNNER_ARCH", "X64"),
    // Never read: a secret, a person, a machine.
    ("GITHUB_TOKEN", "ghs_secret"),
    ("GITHUB_ACTOR", "mona"),
    ("GITHUB_ACTOR_ID", "583231"),
    ("RUNNER_NAME", "monas-laptop"),
];

#[test]
fn a_github_run_says_what_slsa_asks() {
    let provenance = from_ci(GITHUB).expect("a CI system");
    let want = json!({
        "buildDefinition": {
            "buildType": "https://actions.github.io/buildtypes/workflow/v1",
            "externalParameters": {"workflow": {
                "path": ".github/workflows/release.yml",
                "ref": "refs/heads/main",
                "repository": "https://github.com/octo/app",
            }},
            "internalParameters": {
                "github": {
                    "event_name": "push",
                    "repository_id": "1",
                    "repository_owner_id": "2",
                    "runner_arch": "X64",
                    "runner_environment": "github-hosted",
                    "runner_os": "Linux",
                },
                "selfAsserted": true,
            },
            "resolvedDependencies": [{
                "digest": {"gitCommit": COMMIT},
                "uri": "git+https://github.com/octo/app@refs/heads/main",
            }],
        },
        "runDetails": {
            "builder": {"id": "https://github.com/octo/app/.github/workflows/release.yml@refs/heads/main"},
            "metadata": {"invocationId": "https://github.com/octo/app/actions/runs/77/attempts/2"},
        },
    });
    assert_eq!(Value::Object(provenance.to_predicate()), want);
    assert_eq!(provenance.run(), Some("https://github.com/octo/app/actions/runs/77/attempts/2"));
}

/// For each system: the environment, and what is read of the predicate made from it.
#[test]
fn every_system_names_source_builder_and_run() {
    let gitlab = [
        ("GITLAB_CI", "true"),
        ("CI_PROJECT_URL", "https://gitlab.com/octo/app"),
        ("CI_COMMIT_SHA", COMMIT),
        ("CI_COMMIT_REF_NAME", "main"),
        ("CI_RUNNER_ID", "5"),
        ("CI_JOB_URL", "https://gitlab.com/octo/app/-/jobs/9"),
    ];
    let gitlab_tag = [gitlab.as_slice(), &[("CI_COMMIT_TAG", "v1")]].concat();
    let jenkins = [
        ("JENKINS_URL", "https://ci.example.com/"),
        ("GIT_URL", "https://mona:hunter2@git.example.com/octo/app.git"),
        ("GIT_COMMIT", COMMIT),
        ("GIT_BRANCH", "origin/main"),
        ("JOB_NAME", "app"),
        ("BUILD_URL", "https://ci.example.com/job/app/3/?token=hunter2"),
    ];
    let circleci = [
        ("CIRCLECI", "true"),
        ("CIRCLE_REPOSITORY_URL", "git@github.com:octo/app.git"),
        ("CIRCLE_SHA1", COMMIT),
        ("CIRCLE_BRANCH", "main"),
        ("CIRCLE_BUILD_URL", "https://circleci.com/gh/octo/app/4"),
    ];
    let buildkite = [
        ("BUILDKITE", "true"),
        ("BUILDKITE_REPO", "ssh://git@github.com/octo/app.git"),
        ("BUILDKITE_COMMIT", COMMIT),
        ("BUILDKITE_BRANCH", "main"),
        ("BUILDKITE_TAG", ""),
        ("BUILDKITE_BUILD_URL", "https://buildkite.com/octo/app/builds/6"),
    ];
    let azure = [
        ("TF_BUILD", "True"),
        ("SYSTEM_COLLECTIONURI", "https://dev.azure.com/octo/"),
        ("SYSTEM_TEAMPROJECTID", "p"),
        ("BUILD_REPOSITORY_URI", "https://octo@dev.azure.com/octo/app/_git/app"),
        ("BUILD_SOURCEVERSION", COMMIT),
        ("BUILD_SOURCEBRANCH", "refs/heads/main"),
        ("BUILD_BUILDID", "8"),
    ];
    let bitbucket = [
        ("BITBUCKET_BUILD_NUMBER", "12"),
        ("BITBUCKET_GIT_HTTP_ORIGIN", "https://bitbucket.org/octo/app"),
        ("BITBUCKET_COMMIT", COMMIT),
        ("BITBUCKET_BRANCH", "main"),
    ];
    let main = "refs/heads/main";
    for (environment, source, reference, builder, run) in [
        (
            GITHUB,
            "https://github.com/octo/app",
            main,
            "https://github.com/octo/app/.github/workflows/release.yml@refs/heads/main",
            "https://github.com/octo/app/actions/runs/77/attempts/2",
        ),
        (&gitlab, gitlab[1].1, main, "https://gitlab.com/octo/app/-/runners/5", gitlab[5].1),
        (&gitlab_tag, gitlab[1].1, "refs/tags/v1", "https://gitlab.com/octo/app/-/runners/5", gitlab[5].1),
        (
            &jenkins,
            "https://git.example.com/octo/app",
            main,
            "https://ci.example.com/",
            "https://ci.example.com/job/app/3/",
        ),
        (&circleci, "ssh://github.com/octo/app", main, "https://circleci.com", circleci[4].1),
        (&buildkite, "ssh://github.com/octo/app", main, "https://buildkite.com", buildkite[5].1),
        (
            &azure,
            "https://dev.azure.com/octo/app/_git/app",
            main,
            "https://dev.azure.com/octo",
            "https://dev.azure.com/octo/p/_build/results?buildId=8&attempt=1",
        ),
        (
            &bitbucket,
            bitbucket[1].1,
            main,
            "https://bitbucket.org",
            "https://bitbucket.org/octo/app/pipelines/results/12",
        ),
    ] {
        let provenance = from_ci(environment).expect(source);
        let facts = read(provenance.to_predicate().into());
        let want = BuildFacts {
            source_uri: Some(source.to_owned()),
            source_ref: Some(reference.to_owned()),
            builder_id: Some(builder.to_owned()),
            invocation_id: Some(run.to_owned()),
            self_asserted: true,
        };
        assert_eq!(facts, want);
        assert_eq!(provenance.run(), Some(run));
        let text = Value::Object(provenance.to_predicate()).to_string();
        assert!(text.contains(COMMIT), "{text}");
        for secret in ["hunter2", "ghs_", "mona", "583231"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

/// Whose word provenance is does not depend on what it says of itself.
#[test]
fn provenance_is_the_signers_word_also_without_the_member_that_says_so() {
    let own = json!({"buildDefinition": {"internalParameters": {"selfAsserted": true}}});
    for predicate in
        [own, json!({"buildDefinition": {"internalParameters": {"selfAsserted": false}}}), json!({})]
    {
        assert!(read(predicate.clone()).self_asserted, "{predicate}");
    }
}

#[test]
fn an_environment_that_says_little_is_believed_that_much() {
    assert_eq!(from_ci(&[]), None);
    assert_eq!(from_ci(&[("GITHUB_ACTIONS", "")]), None);
    assert_eq!(from_ci(&[("GITHUB_ACTIONS", "false")]), None);
    for variable in SYSTEMS.map(|system| (system.variable, system.value.unwrap_or("x"))) {
        let facts = read(from_ci(&[variable]).expect(variable.0).to_predicate().into());
        assert!(facts.builder_id.is_some() && facts.self_asserted, "{variable:?}");
        assert_eq!((facts.source_uri, facts.source_ref), (None, None), "{variable:?}");
    }
    // What is no commit id, no identifier or no line is left out.
    let odd = [
        ("GITLAB_CI", "true"),
        ("CI_PROJECT_URL", "https://gitlab.com/octo/app"),
        ("CI_COMMIT_SHA", "main"),
        ("CI_COMMIT_REF_NAME", "ma\nin"),
        ("CI_PROJECT_ID", &"9".repeat(3000)),
    ];
    let text = Value::Object(from_ci(&odd).expect("GitLab").to_predicate()).to_string();
    assert!(!text.contains("digest") && !text.contains("999") && !text.contains("ref"), "{text}");
}

#[test]
fn a_local_build_names_itself_and_no_run() {
    let provenance = Provenance::local();
    assert_eq!(provenance.run(), None);
    let want = json!({
        "buildDefinition": {
            "buildType": "https://aip.dev/build/local/v1",
            "externalParameters": {},
            "internalParameters": {"selfAsserted": true},
        },
        "runDetails": {"builder": {"id": "https://aip.dev/build/local"}},
    });
    assert_eq!(Value::Object(provenance.to_predicate()), want);
}

#[test]
fn the_source_is_the_workflow_else_the_only_git_dependency() {
    let dependencies = |uris: &[&str]| {
        let uris: Vec<Value> = uris.iter().map(|uri| json!({"uri": uri})).collect();
        json!({"buildDefinition": {"resolvedDependencies": uris}})
    };
    let source = |predicate| {
        let facts = read(predicate);
        (facts.source_uri, facts.source_ref)
    };
    let found = |uri: &str, reference: Option<&str>| (Some(uri.to_owned()), reference.map(str::to_owned));
    let git = "git+https://example.com/a.git@refs/heads/x";
    assert_eq!(source(dependencies(&[git])), found("https://example.com/a", Some("refs/heads/x")));
    assert_eq!(
        source(dependencies(&["pkg:npm/x", git])),
        found("https://example.com/a", Some("refs/heads/x"))
    );
    assert_eq!(source(dependencies(&["git+ssh://git@h/a"])), found("ssh://h/a", None));
    assert_eq!(source(dependencies(&["git+ssh://git@h/a@v1"])), found("ssh://h/a", Some("v1")));
    assert_eq!(source(dependencies(&["git+https://h"])), found("https://h", None));
    assert_eq!(source(dependencies(&[git, git])), (None, None));
    assert_eq!(source(dependencies(&[])), (None, None));
    let mut both = dependencies(&[git]);
    both["buildDefinition"]["externalParameters"] = json!({"workflow": {"repository": "https://h/b"}});
    assert_eq!(source(both), found("https://h/b", None));
    for odd in [json!({"buildDefinition": 1}), json!({"buildDefinition": {"resolvedDependencies": [1, {}]}})]
    {
        assert_eq!(source(odd), (None, None));
    }
    let sbom = read_as("https://cyclonedx.org/bom", dependencies(&[git]));
    assert_eq!(sbom, BuildFacts::default());
}

#[test]
fn addresses_lose_what_may_be_secret() {
    for (from, to) in [
        ("https://h/a", "https://h/a"),
        ("https://u@h/a", "https://h/a"),
        ("https://u:p@h:8443/a@b", "https://h:8443/a@b"),
        ("https://u:p@ss@h/a", "https://h/a"),
        ("https://h/a?token=x", "https://h/a"),
        ("https://h/a#x", "https://h/a"),
        ("https://u:p@h", "https://h"),
        ("git@h:a/b.git", "ssh://h/a/b.git"),
        ("git@h:/srv/b.git", "ssh://h/srv/b.git"),
        ("/srv/b.git", "/srv/b.git"),
    ] {
        assert_eq!(public_url(from), to);
    }
}

/// What the signer says and what is asked for are compared in this form.
#[test]
fn a_source_has_no_case_where_its_host_has_none() {
    for (uri, want) in [
        ("HTTPS://GitHub.COM/Octo/App", "https://github.com/octo/app"),
        ("git+https://github.com/octo/app.git/", "https://github.com/octo/app"),
        ("GIT+https://github.com/octo/app.git", "https://github.com/octo/app"),
        ("https://github.com/octo/app//", "https://github.com/octo/app"),
        ("ssh://Git@GitHub.com/Octo/App.git", "ssh://Git@github.com/octo/app"),
        // The user `git` is everybody; another one has files of his own.
        ("git@github.com:Octo/App.git", "ssh://github.com/octo/app"),
        ("ssh://git@h/srv/a.git", "ssh://h/srv/a"),
        ("git@h:/srv/a.git", "ssh://h/srv/a"),
        ("ssh://alice@h/a", "ssh://alice@h/a"),
        ("alice@h:a", "ssh://alice@h/a"),
        ("https://git@h/a", "https://git@h/a"),
        ("git@:a", "git@:a"),
        ("a/git@h:a", "a/git@h:a"),
        // Elsewhere a path has case.
        ("https://Git.Example.COM:8443/Octo/App", "https://git.example.com:8443/Octo/App"),
        ("https://github.com.evil.example/Octo", "https://github.com.evil.example/Octo"),
        ("https://evil.example/github.com/Octo", "https://evil.example/github.com/Octo"),
        ("https://GitHub.com@evil.example/Octo", "https://GitHub.com@evil.example/Octo"),
        ("HTTPS://H", "https://h"),
        ("no uri", "no uri"),
        ("é", "é"),
    ] {
        assert_eq!(normal_source(uri), want);
        assert_eq!(normal_source(want), want);
    }
}
