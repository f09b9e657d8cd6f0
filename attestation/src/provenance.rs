//! Provenance: the claim "this run of this pipeline built it", as SLSA provenance v1
//! (`specs/statement.md`).
//!
//! ```text
//! {"buildDefinition":{
//!    "buildType":"<URI>",
//!    "externalParameters":{"workflow":{"path":"…","ref":"refs/heads/main","repository":"https://…"}},
//!    "internalParameters":{"selfAsserted":true,"github":{…}},
//!    "resolvedDependencies":[{"digest":{"gitCommit":"<hex>"},"uri":"git+https://…@refs/heads/main"}]},
//!  "runDetails":{"builder":{"id":"…"},"metadata":{"invocationId":"<the run>"}}}
//! ```
//! All of it comes from environment variables that the pipeline itself could set: it is the signer's word
//! about its build, marked `selfAsserted`, and worth as much as the signer. Only the variables named here
//! are read, never the whole environment, which holds secrets. What names a person or a machine is left
//! out: a published statement stays.
//!
//! No time and no random number goes in: a retry of the same run says the same.

use serde_json::{Map, Value, json};

use crate::statement::Statement;

/// The predicate type of SLSA provenance v1.
pub const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v1";

/// What a pipeline says about its own run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Provenance {
    build_type: String,
    repository: Option<String>,
    reference: Option<String>,
    path: Option<String>,
    commit: Option<String>,
    builder_id: String,
    invocation_id: Option<String>,
    /// The CI system, and what only it knows.
    internal: Option<(&'static str, Map<String, Value>)>,
}

impl Provenance {
    /// What the CI system around says in its environment, of which `env` gives one variable; `None`
    /// outside of GitHub Actions, GitLab CI, Jenkins, CircleCI, Buildkite, Azure Pipelines and Bitbucket.
    pub fn from_ci(env: &dyn Fn(&str) -> Option<String>) -> Option<Self> {
        let env = Env(env);
        SYSTEMS.iter().find(|system| system.runs(&env)).map(|system| (system.read)(&env))
    }

    /// What there is to say of a build on somebody's own machine: nothing but that.
    pub fn local() -> Self {
        Self {
            build_type: format!("{BUILD_TYPE_BASE}local/v1"),
            repository: None,
            reference: None,
            path: None,
            commit: None,
            builder_id: format!("{BUILD_TYPE_BASE}local"),
            invocation_id: None,
            internal: None,
        }
    }

    /// The run, the same in a retry of it and in no other: what SLSA calls the invocation id.
    pub fn run(&self) -> Option<&str> {
        self.invocation_id.as_deref()
    }

    /// The predicate. What is not known is left out.
    pub fn to_predicate(&self) -> Map<String, Value> {
        let workflow = object([
            ("path", self.path.clone().map(Value::from)),
            ("ref", self.reference.clone().map(Value::from)),
            ("repository", self.repository.clone().map(Value::from)),
        ]);
        let internal = self.internal.clone().map(|(system, known)| (system.to_owned(), Value::from(known)));
        let mut internal = Map::from_iter(internal);
        internal.insert(SELF_ASSERTED.to_owned(), true.into());
        let definition = object([
            ("buildType", Some(self.build_type.clone().into())),
            ("externalParameters", Some(Map::from_iter(named("workflow", workflow)).into())),
            ("internalParameters", Some(internal.into())),
            ("resolvedDependencies", self.source().map(|source| json!([source]))),
        ]);
        let metadata = object([("invocationId", self.invocation_id.clone().map(Value::from))]);
        let mut details = Map::from_iter(named("metadata", metadata));
        details.insert("builder".to_owned(), json!({"id": self.builder_id}));
        object([("buildDefinition", Some(definition.into())), ("runDetails", Some(details.into()))])
    }

    /// The source as SLSA's resource descriptor.
    fn source(&self) -> Option<Value> {
        let repository = self.repository.as_ref()?;
        let uri = match &self.reference {
            None => format!("git+{repository}"),
            Some(reference) => format!("git+{repository}@{reference}"),
        };
        let digest = self.commit.as_ref().map(|commit| json!({"gitCommit": commit}));
        Some(object([("digest", digest), ("uri", Some(uri.into()))]).into())
    }
}

/// What a provenance predicate says of its build, as far as policies ask. By the signer's word only.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct BuildFacts {
    /// The source repository, without `git+` and ref.
    pub source_uri: Option<String>,
    /// The ref of the source that was built.
    pub source_ref: Option<String>,
    /// Who ran the build.
    pub builder_id: Option<String>,
    /// Which run it was.
    pub invocation_id: Option<String>,
    /// Whether the predicate says that its facts come from the pipeline's own environment.
    pub self_asserted: bool,
}

impl BuildFacts {
    /// Reads a statement; nothing is known if it is not SLSA provenance v1.
    ///
    /// The source is `externalParameters.workflow`, else the only `git+` resolved dependency: of two, none
    /// is *the* source.
    pub fn read(statement: &Statement) -> Self {
        if statement.predicate_type() != PREDICATE_TYPE {
            return Self::default();
        }
        let predicate = Value::Object(statement.predicate().clone());
        let text = |path: &str| predicate.pointer(path).and_then(Value::as_str).map(str::to_owned);
        let repository = text("/buildDefinition/externalParameters/workflow/repository");
        let (source_uri, source_ref) = match repository {
            Some(_) => (repository, text("/buildDefinition/externalParameters/workflow/ref")),
            None => only_git_source(&predicate).map_or((None, None), |uri| split_source(&uri)),
        };
        let self_asserted = predicate.pointer("/buildDefinition/internalParameters/selfAsserted");
        Self {
            source_uri: source_uri.map(|uri| normal_source(&uri).to_owned()),
            source_ref,
            builder_id: text("/runDetails/builder/id"),
            invocation_id: text("/runDetails/metadata/invocationId"),
            self_asserted: self_asserted == Some(&Value::Bool(true)),
        }
    }
}

/// A repository's URI as it is compared: without `git+` before, `.git` and `/` behind.
pub(crate) fn normal_source(uri: &str) -> &str {
    let uri = uri.strip_prefix("git+").unwrap_or(uri);
    let uri = uri.trim_end_matches('/');
    uri.strip_suffix(".git").unwrap_or(uri)
}

fn only_git_source(predicate: &Value) -> Option<String> {
    let dependencies = predicate.pointer("/buildDefinition/resolvedDependencies")?.as_array()?;
    let uris = dependencies.iter().filter_map(|dependency| dependency.get("uri")?.as_str());
    let mut sources = uris.filter(|uri| uri.starts_with("git+"));
    match (sources.next(), sources.next()) {
        (Some(only), None) => Some(only.to_owned()),
        _ => None,
    }
}

/// Repository and ref of `git+<repository>@<ref>`. An `@` before the path belongs to a user's name.
fn split_source(uri: &str) -> (Option<String>, Option<String>) {
    let path = uri.find("://").map_or(0, |at| at + 3);
    let path = uri[path..].find('/').map_or(uri.len(), |at| path + at);
    match uri[path..].split_once('@') {
        None => (Some(uri.to_owned()), None),
        Some((rest, reference)) => (Some(format!("{}{rest}", &uri[..path])), Some(reference.to_owned())),
    }
}

/// A CI system: how it is recognised, and what it says of a run.
struct System {
    variable: &'static str,
    /// The value it must have, if any will not do.
    value: Option<&'static str>,
    read: fn(&Env) -> Provenance,
}

impl System {
    fn runs(&self, env: &Env) -> bool {
        env.text(self.variable).is_some_and(|got| self.value.is_none_or(|want| got == want))
    }
}

const SYSTEMS: [System; 7] = [
    System { variable: "GITHUB_ACTIONS", value: Some("true"), read: github },
    System { variable: "GITLAB_CI", value: Some("true"), read: gitlab },
    System { variable: "CIRCLECI", value: Some("true"), read: circleci },
    System { variable: "BUILDKITE", value: Some("true"), read: buildkite },
    System { variable: "TF_BUILD", value: None, read: azure },
    System { variable: "BITBUCKET_BUILD_NUMBER", value: None, read: bitbucket },
    // Last: many keep its address in the environment of other systems too.
    System { variable: "JENKINS_URL", value: None, read: jenkins },
];

fn github(env: &Env) -> Provenance {
    let server = env.url("GITHUB_SERVER_URL").unwrap_or_else(|| "https://github.com".to_owned());
    let repository = env.text("GITHUB_REPOSITORY");
    // `<owner>/<repository>/<path>@<ref>`
    let workflow = env.text("GITHUB_WORKFLOW_REF");
    let path = workflow.as_ref().zip(repository.as_ref()).and_then(|(workflow, repository)| {
        let (path, _) = workflow.strip_prefix(repository)?.strip_prefix('/')?.split_once('@')?;
        Some(path.to_owned())
    });
    let repository = repository.map(|repository| format!("{server}/{repository}"));
    let run = env.text("GITHUB_RUN_ID").zip(repository.as_ref()).map(|(run, repository)| {
        let attempt = env.text("GITHUB_RUN_ATTEMPT").unwrap_or_else(|| "1".to_owned());
        format!("{repository}/actions/runs/{run}/attempts/{attempt}")
    });
    Provenance {
        // The same parameters as GitHub's own attestations have.
        build_type: "https://actions.github.io/buildtypes/workflow/v1".to_owned(),
        repository,
        reference: env.text("GITHUB_REF"),
        path,
        commit: env.commit("GITHUB_SHA"),
        builder_id: workflow.map_or(server.clone(), |workflow| format!("{server}/{workflow}")),
        invocation_id: run,
        internal: Some((
            "github",
            env.known([
                ("event_name", "GITHUB_EVENT_NAME"),
                ("repository_id", "GITHUB_REPOSITORY_ID"),
                ("repository_owner_id", "GITHUB_REPOSITORY_OWNER_ID"),
                ("runner_arch", "RUNNER_ARCH"),
                ("runner_environment", "RUNNER_ENVIRONMENT"),
                ("runner_os", "RUNNER_OS"),
            ]),
        )),
    }
}

fn gitlab(env: &Env) -> Provenance {
    let repository = env.url("CI_PROJECT_URL");
    let runner = env.text("CI_RUNNER_ID").zip(repository.as_ref());
    Provenance {
        build_type: format!("{BUILD_TYPE_BASE}gitlab/v1"),
        reference: env.git_ref("CI_COMMIT_TAG", "CI_COMMIT_REF_NAME"),
        path: env.text("CI_CONFIG_PATH"),
        commit: env.commit("CI_COMMIT_SHA"),
        builder_id: match (runner, &repository) {
            (Some((runner, repository)), _) => format!("{repository}/-/runners/{runner}"),
            (None, Some(repository)) => repository.clone(),
            (None, None) => "https://gitlab.com".to_owned(),
        },
        invocation_id: env.url("CI_JOB_URL"),
        internal: Some((
            "gitlab",
            env.known([
                ("job_id", "CI_JOB_ID"),
                ("pipeline_id", "CI_PIPELINE_ID"),
                ("pipeline_source", "CI_PIPELINE_SOURCE"),
                ("project_id", "CI_PROJECT_ID"),
            ]),
        )),
        repository,
    }
}

fn jenkins(env: &Env) -> Provenance {
    let branch = env.text("BRANCH_NAME").or_else(|| {
        // The Git plugin names the remote too.
        let branch = env.text("GIT_BRANCH")?;
        Some(branch.strip_prefix("origin/").unwrap_or(&branch).to_owned())
    });
    let tag = env.text("TAG_NAME").map(|tag| format!("refs/tags/{tag}"));
    Provenance {
        build_type: format!("{BUILD_TYPE_BASE}jenkins/v1"),
        repository: env.url("GIT_URL"),
        reference: tag.or_else(|| branch.map(|branch| format!("refs/heads/{branch}"))),
        path: env.text("JOB_NAME"),
        commit: env.commit("GIT_COMMIT"),
        builder_id: env.url("JENKINS_URL").unwrap_or_else(|| format!("{BUILD_TYPE_BASE}jenkins")),
        invocation_id: env.url("BUILD_URL"),
        internal: Some(("jenkins", env.known([("build_cause", "BUILD_CAUSE")]))),
    }
}

fn circleci(env: &Env) -> Provenance {
    Provenance {
        build_type: format!("{BUILD_TYPE_BASE}circleci/v1"),
        repository: env.url("CIRCLE_REPOSITORY_URL"),
        reference: env.git_ref("CIRCLE_TAG", "CIRCLE_BRANCH"),
        path: env.text("CIRCLE_JOB"),
        commit: env.commit("CIRCLE_SHA1"),
        builder_id: "https://circleci.com".to_owned(),
        invocation_id: env.url("CIRCLE_BUILD_URL"),
        internal: Some((
            "circleci",
            env.known([("project_id", "CIRCLE_PROJECT_ID"), ("workflow_id", "CIRCLE_WORKFLOW_ID")]),
        )),
    }
}

fn buildkite(env: &Env) -> Provenance {
    Provenance {
        build_type: format!("{BUILD_TYPE_BASE}buildkite/v1"),
        repository: env.url("BUILDKITE_REPO"),
        reference: env.git_ref("BUILDKITE_TAG", "BUILDKITE_BRANCH"),
        path: env.text("BUILDKITE_PIPELINE_SLUG"),
        commit: env.commit("BUILDKITE_COMMIT"),
        builder_id: "https://buildkite.com".to_owned(),
        invocation_id: env.url("BUILDKITE_BUILD_URL"),
        internal: Some(("buildkite", env.known([("source", "BUILDKITE_SOURCE")]))),
    }
}

fn azure(env: &Env) -> Provenance {
    let collection = env.url("SYSTEM_COLLECTIONURI").map(|url| url.trim_end_matches('/').to_owned());
    let place = collection.as_ref().zip(env.text("SYSTEM_TEAMPROJECTID"));
    let run = place.zip(env.text("BUILD_BUILDID")).map(|((collection, project), build)| {
        let attempt = env.text("SYSTEM_JOBATTEMPT").unwrap_or_else(|| "1".to_owned());
        format!("{collection}/{project}/_build/results?buildId={build}&attempt={attempt}")
    });
    Provenance {
        build_type: format!("{BUILD_TYPE_BASE}azure/v1"),
        repository: env.url("BUILD_REPOSITORY_URI"),
        reference: env.text("BUILD_SOURCEBRANCH"),
        path: env.text("BUILD_DEFINITIONNAME"),
        commit: env.commit("BUILD_SOURCEVERSION"),
        builder_id: collection.unwrap_or_else(|| "https://dev.azure.com".to_owned()),
        invocation_id: run,
        internal: Some((
            "azure",
            env.known([
                ("build_id", "BUILD_BUILDID"),
                ("project_id", "SYSTEM_TEAMPROJECTID"),
                ("reason", "BUILD_REASON"),
            ]),
        )),
    }
}

fn bitbucket(env: &Env) -> Provenance {
    let repository = env.url("BITBUCKET_GIT_HTTP_ORIGIN");
    let number = env.text("BITBUCKET_BUILD_NUMBER").zip(repository.as_ref());
    Provenance {
        build_type: format!("{BUILD_TYPE_BASE}bitbucket/v1"),
        reference: env.git_ref("BITBUCKET_TAG", "BITBUCKET_BRANCH"),
        path: None,
        commit: env.commit("BITBUCKET_COMMIT"),
        builder_id: "https://bitbucket.org".to_owned(),
        invocation_id: number.map(|(number, origin)| format!("{origin}/pipelines/results/{number}")),
        internal: Some(("bitbucket", env.known([("repository_id", "BITBUCKET_REPO_UUID")]))),
        repository,
    }
}

/// An environment of which one variable at a time can be had.
struct Env<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Env<'_> {
    /// A variable; what is empty, absurdly long or not on one line counts as absent.
    fn text(&self, name: &str) -> Option<String> {
        let usable = |value: &String| {
            !value.is_empty() && value.len() <= MAX_VALUE_BYTES && !value.contains(char::is_control)
        };
        (self.0)(name).filter(usable)
    }

    fn url(&self, name: &str) -> Option<String> {
        self.text(name).map(|url| public_url(&url))
    }

    /// A full Git commit id: SHA-1 or SHA-256, lower-case hex.
    fn commit(&self, name: &str) -> Option<String> {
        let lower_hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        self.text(name).filter(|id| [40, 64].contains(&id.len()) && id.bytes().all(lower_hex))
    }

    /// The full name of the ref, of systems that give the short name of a tag or a branch.
    fn git_ref(&self, tag: &str, branch: &str) -> Option<String> {
        let tag = self.text(tag).map(|tag| format!("refs/tags/{tag}"));
        tag.or_else(|| self.text(branch).map(|branch| format!("refs/heads/{branch}")))
    }

    fn known<const N: usize>(&self, members: [(&str, &str); N]) -> Map<String, Value> {
        object(members.map(|(member, variable)| (member, self.text(variable).map(Value::from))))
    }
}

/// An address without what may be secret in it: user, password, query and fragment. Git's short form
/// `git@host:path` becomes a URL.
fn public_url(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    if let Some((scheme, rest)) = url.split_once("://") {
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let host = authority.rsplit('@').next().unwrap_or_default();
        return format!("{scheme}://{host}{path}");
    }
    match url.split_once('@').and_then(|(_, rest)| rest.split_once(':')) {
        Some((host, path)) => format!("ssh://{host}/{}", path.trim_start_matches('/')),
        None => url.to_owned(),
    }
}

/// The members that have a value.
fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Map<String, Value> {
    let there = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    there.collect()
}

/// An object as a member, unless it is empty.
fn named(name: &str, members: Map<String, Value>) -> Option<(String, Value)> {
    if members.is_empty() { None } else { Some((name.to_owned(), members.into())) }
}

/// What the build types of systems without one of their own begin with.
const BUILD_TYPE_BASE: &str = "https://aip.dev/build/";

const SELF_ASSERTED: &str = "selfAsserted";

/// The longest value that is believed to be an identifier or an address.
const MAX_VALUE_BYTES: usize = 2048;

#[cfg(test)]
mod tests {
    use tlog::Hash;

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
            (
                &gitlab_tag,
                gitlab[1].1,
                "refs/tags/v1",
                "https://gitlab.com/octo/app/-/runners/5",
                gitlab[5].1,
            ),
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
        assert_eq!(source(dependencies(&["git+ssh://git@h/a"])), found("ssh://git@h/a", None));
        assert_eq!(source(dependencies(&["git+ssh://git@h/a@v1"])), found("ssh://git@h/a", Some("v1")));
        assert_eq!(source(dependencies(&["git+https://h"])), found("https://h", None));
        assert_eq!(source(dependencies(&[git, git])), (None, None));
        assert_eq!(source(dependencies(&[])), (None, None));
        let mut both = dependencies(&[git]);
        both["buildDefinition"]["externalParameters"] = json!({"workflow": {"repository": "https://h/b"}});
        assert_eq!(source(both), found("https://h/b", None));
        for odd in
            [json!({"buildDefinition": 1}), json!({"buildDefinition": {"resolvedDependencies": [1, {}]}})]
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
}
