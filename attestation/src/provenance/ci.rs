//! What each CI system says in its environment. A column of the table in `specs/statement.md` is a function.

use serde_json::{Map, Value};

use super::{BUILD_TYPE_BASE, Provenance, object};

/// What the system that runs here says; `None` if there is none.
pub(super) fn read(env: &dyn Fn(&str) -> Option<String>) -> Option<Provenance> {
    let env = Env(env);
    SYSTEMS.iter().find(|system| system.runs(&env)).map(|system| (system.read)(&env))
}

/// A CI system: how it is recognised, and what it says of a run.
pub(super) struct System {
    pub(super) variable: &'static str,
    /// The value it must have, if any will not do.
    pub(super) value: Option<&'static str>,
    read: fn(&Env) -> Provenance,
}

impl System {
    fn runs(&self, env: &Env) -> bool {
        env.text(self.variable).is_some_and(|got| self.value.is_none_or(|want| got == want))
    }
}

pub(super) const SYSTEMS: [System; 7] = [
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
        reproducible: false,
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
        reproducible: false,
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
        reproducible: false,
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
        reproducible: false,
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
        reproducible: false,
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
        reproducible: false,
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
        reproducible: false,
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
pub(super) fn public_url(url: &str) -> String {
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

/// The longest value that is believed to be an identifier or an address.
const MAX_VALUE_BYTES: usize = 2048;
