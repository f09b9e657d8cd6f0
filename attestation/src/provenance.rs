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
//! All of it comes from environment variables that the pipeline itself could set. So it is the signer's word about its
//! build, marked `selfAsserted`, and worth as much as the signer. Only the variables named here are read, never the whole
//! environment, which holds secrets. Names of persons and machines are left out, since a published statement stays.
//!
//! It contains no time and no random number, so that a retry of the same run makes the same statement.

use serde_json::{Map, Value, json};

use crate::statement::Statement;

mod ci;

/// The predicate type of SLSA provenance v1.
pub const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v1";

/// How the types of all its versions begin.
const ANY_PROVENANCE: &str = "https://slsa.dev/provenance/";

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
    reproducible: bool,
}

impl Provenance {
    /// What the CI system around says in its environment, of which `env` gives one variable; `None`
    /// outside of GitHub Actions, GitLab CI, CircleCI, Buildkite, Azure Pipelines, Bitbucket and Jenkins.
    pub fn from_ci(env: &dyn Fn(&str) -> Option<String>) -> Option<Self> {
        ci::read(env)
    }

    /// Provenance of a build on somebody's own machine. It says only that.
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
            reproducible: false,
        }
    }

    /// The same, and that building again gives the same bytes: the signer is held to it ([`REPRODUCIBLE`]).
    #[must_use]
    pub fn reproducible(self) -> Self {
        Self { reproducible: true, ..self }
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
        if self.reproducible {
            internal.insert(REPRODUCIBLE.to_owned(), true.into());
        }
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
    /// The source repository, without `git+` and ref, as it is compared.
    pub source_uri: Option<String>,
    /// The ref of the source that was built.
    pub source_ref: Option<String>,
    /// Who ran the build.
    pub builder_id: Option<String>,
    /// Which run it was.
    pub invocation_id: Option<String>,
    /// Whether this is provenance: its facts are the signer's word, whatever it says of itself.
    pub self_asserted: bool,
}

impl BuildFacts {
    /// Reads a statement. Of a predicate that is not SLSA provenance v1 only `self_asserted` is set.
    ///
    /// The source is `externalParameters.workflow`, else the only `git+` resolved dependency. If there are two, there is no
    /// source.
    pub fn read(statement: &Statement) -> Self {
        // It is told by the kind: a missing member does not make it another's word.
        let self_asserted = statement.predicate_type().starts_with(ANY_PROVENANCE);
        if statement.predicate_type() != PREDICATE_TYPE {
            return Self { self_asserted, ..Self::default() };
        }
        let predicate = &statement.predicate();
        let text = |path: &[&str]| Some(member(predicate, path)?.as_str()?.to_owned());
        let workflow = |name| text(&["buildDefinition", "externalParameters", "workflow", name]);
        let (source_uri, source_ref) = match workflow("repository") {
            Some(repository) => (Some(repository), workflow("ref")),
            None => only_git_source(predicate).map_or((None, None), split_source),
        };
        Self {
            source_uri: source_uri.map(|uri| normal_source(&uri)),
            source_ref,
            builder_id: text(&["runDetails", "builder", "id"]),
            invocation_id: text(&["runDetails", "metadata", "invocationId"]),
            self_asserted,
        }
    }
}

/// A repository's URI as it is compared: without `git+` before, `.git` and `/` behind. Git's short form `git@host:path` is
/// `ssh://host/path`, and over SSH the user `git` is left out. Scheme and host have no case, nor have GitHub's owners and
/// names.
pub(crate) fn normal_source(uri: &str) -> String {
    let uri = match uri.split_at_checked(4) {
        Some((git, rest)) if git.eq_ignore_ascii_case("git+") => rest,
        _ => uri,
    };
    let uri = uri.trim_end_matches('/');
    let uri = uri.strip_suffix(".git").unwrap_or(uri);
    let long_form = long_form(uri);
    let uri = long_form.as_deref().unwrap_or(uri);
    let Some((scheme, rest)) = uri.split_once("://") else { return uri.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (user, host) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    let (scheme, host) = (scheme.to_ascii_lowercase(), host.to_ascii_lowercase());
    let path = if host == "github.com" { path.to_ascii_lowercase() } else { path.to_owned() };
    let user = if (scheme.as_str(), user) == ("ssh", "git@") { "" } else { user };
    format!("{scheme}://{user}{host}{path}")
}

/// Git's short form of an SSH address, `user@host:path`, as a URL.
fn long_form(short: &str) -> Option<String> {
    let (user, rest) = short.split_once('@').filter(|(user, _)| !user.contains(['/', ':']))?;
    let (host, path) =
        rest.split_once(':').filter(|(host, _)| !host.is_empty() && !host.contains(['/', '@']))?;
    Some(format!("ssh://{user}@{host}/{}", path.trim_start_matches('/')))
}

/// The value at the end of a path of members.
pub(crate) fn member<'v>(object: &'v Map<String, Value>, path: &[&str]) -> Option<&'v Value> {
    match path {
        [] => None,
        [name] => object.get(*name),
        [name, rest @ ..] => member(object.get(*name)?.as_object()?, rest),
    }
}

fn only_git_source(predicate: &Map<String, Value>) -> Option<&str> {
    let dependencies = member(predicate, &["buildDefinition", "resolvedDependencies"])?.as_array()?;
    let uris = dependencies.iter().filter_map(|dependency| dependency.get("uri")?.as_str());
    let mut sources = uris.filter(|uri| uri.starts_with("git+"));
    match (sources.next(), sources.next()) {
        (Some(only), None) => Some(only),
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

/// By this internal parameter a signer says that building again gives the same bytes, and is held to it.
pub const REPRODUCIBLE: &str = "reproducible";

#[cfg(test)]
mod tests;
