# Finds the program for the GitHub Action, or builds it. action.yml sources this file in bash.
#
# In this order: AIP_ATTEST_BIN; the same version on PATH; the tool cache; `cargo install` of the action's own
# sources, kept in the tool cache. Both names, aip-attest and aip, go on the path of later steps.
#
# The step starts in the checkout, which may be a stranger's. No file of the checkout steers it: programs come from
# folders outside of the checkout, cargo works in a copy of the action's sources, and both get an environment that
# names nothing in the checkout and no secret. An earlier step that ran code of the checkout could have changed
# anything: nobody can check that here.
set -eu
unset BASH_ENV CDPATH ENV
IFS=$' \t\n'

# Says why the step ends, also where later steps and people look for the answer of a gate.
fail() {
    echo "::error title=aip-attest::$1"
    if [ -n "${AIP_INPUT_VERIFY_DID:-}" ] && [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then
        printf '### Could not tell whether to trust the pipeline\n\n%s\n\n' "$1" >>"$GITHUB_STEP_SUMMARY"
    fi
    exit 2
}

[ -z "${AIP_INPUT_VERIFY_DID:-}" ] || echo "verified=false" >>"$GITHUB_OUTPUT"

# The names are those of TRUSTED_EVENTS in github_action/event.rs. The program also looks whose pull request or run it is.
event=${GITHUB_EVENT_NAME:-}
case $event in
'' | push | create | release | schedule | workflow_dispatch | repository_dispatch | deployment | merge_group) ;;
pull_request | workflow_run) ;;
*)
    allowed=${AIP_INPUT_ALLOW_UNTRUSTED_EVENT:-}
    [ "${allowed//[[:space:]]/}" = true ] ||
        fail "nothing is signed in the event \`${event//[!a-z_]/?}\`: it runs with secrets, and a stranger may choose what it builds or sees; if you know what this job runs, set allow-untrusted-event: true"
    ;;
esac

# The real path of a folder. Only builtins: PATH is not clean yet.
real_folder() { (cd -P -- "$1" >/dev/null 2>&1 && pwd -P); }

is_absolute() {
    case $1 in
    /* | [A-Za-z]:[\\/]*) return 0 ;;
    *) return 1 ;;
    esac
}

root=$(real_folder "$GITHUB_ACTION_PATH") || fail "GITHUB_ACTION_PATH is no folder"
workspace=${GITHUB_WORKSPACE:+$(real_folder "$GITHUB_WORKSPACE")} || fail "GITHUB_WORKSPACE is no folder"
# From here on a relative name means nothing in the checkout.
cd "$root"

# Whether a real path lies in the checkout.
is_in_checkout() {
    [ -n "$workspace" ] || return 1
    case $1/ in
    "${workspace%/}"/*) return 0 ;;
    *) return 1 ;;
    esac
}

# Whether a file or folder that a variable names is of the machine, and not of the checkout.
is_of_machine() {
    is_absolute "$1" || return 1
    local folder=$1
    [ -d "$folder" ] || folder=${folder%[\\/]*}
    folder=$(real_folder "${folder:-/}") && ! is_in_checkout "$folder"
}

original_path=$PATH
clean_path=
rest=$PATH:
while [ -n "$rest" ]; do
    entry=${rest%%:*}
    rest=${rest#*:}
    if is_absolute "$entry" && [ -d "$entry" ] && is_of_machine "$entry"; then
        clean_path=${clean_path:+$clean_path:}$entry
    fi
done
[ -n "$clean_path" ] || fail "no folder on PATH lies outside of the checkout"
PATH=$clean_path
hash -r

# What programs see that have no use for more: cargo, and what says its version.
machine=(env -i "PATH=$PATH")
for name in HOME USERPROFILE APPDATA LOCALAPPDATA CARGO_HOME RUSTUP_HOME TMPDIR TEMP TMP SSL_CERT_FILE SSL_CERT_DIR \
    CARGO_HTTP_CAINFO SYSTEMROOT WINDIR SYSTEMDRIVE COMSPEC PROGRAMFILES PROGRAMDATA DEVELOPER_DIR; do
    value=${!name:-}
    [ -z "$value" ] || ! is_of_machine "$value" || machine+=("$name=$value")
done
for name in HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY http_proxy https_proxy all_proxy no_proxy CARGO_NET_OFFLINE \
    RUSTUP_DIST_SERVER RUSTUP_UPDATE_ROOT RUSTUP_AUTO_INSTALL PATHEXT PROCESSOR_ARCHITECTURE; do
    value=${!name:-}
    [ -z "$value" ] || machine+=("$name=$value")
done
if [ -n "${SYSTEMROOT:-}" ]; then
    # Bash has no name for this one; the C compiler of Windows is found by it.
    machine+=("ProgramFiles(x86)=$(printenv 'ProgramFiles(x86)' || :)")
fi

case ${RUNNER_OS:-} in
Windows) exe=.exe ;;
*) exe= ;;
esac

setting() { sed -n "s/^$1 = \"\\(.*\\)\"\$/\\1/p" "$root/Cargo.toml" | head -n 1; }
version=$(setting version)
toolchain=$(setting rust-version).0
[ -n "$version" ] || fail "the action's checkout has no version"

is_ours() {
    [ -f "$1" ] && [ -x "$1" ] && [ "$("${machine[@]}" "$1" --version 2>/dev/null)" = "aip-attest $version" ]
}

# The real path of a program, if that is of the machine.
program_of_machine() {
    local real
    real=$(readlink -f -- "$1") && [ -n "$real" ] && ! is_in_checkout "$real" && echo "$real"
}

# Sets `bin` to the same version on PATH. Behind an entry that is not absolute nothing is looked for: what stands there
# depends on the folder that a program starts in.
find_on_path() {
    local entry rest=$original_path:
    while [ -n "$rest" ]; do
        entry=${rest%%:*}
        rest=${rest#*:}
        if ! is_absolute "$entry"; then
            echo "PATH has an entry that is not absolute: no program behind it is taken"
            return 1
        fi
        [ -f "$entry/aip-attest$exe" ] && [ -x "$entry/aip-attest$exe" ] || continue
        if bin=$(program_of_machine "$entry/aip-attest$exe"); then
            is_ours "$bin"
            return
        fi
        echo "the aip-attest on PATH lies in the checkout, and is not taken"
    done
    return 1
}

if command -v sha256sum >/dev/null; then sha256=(sha256sum); else sha256=(shasum -a 256); fi
# Through a pipe, since the name stands in the answer for some names.
sha256_of() { "${sha256[@]}" <"$1" | cut -c 1-64; }

# Everything that cargo reads to build a member of this workspace, beside its settings in .cargo: all members, since it reads
# each one's manifest.
members=$(sed -n 's/^members = \[\(.*\)\]$/\1/p' "$root/Cargo.toml" | tr -d '",')
[ -n "$members" ] || fail "the action's checkout has no workspace members"

# The SHA-256 of the sources in a folder: a branch moves, and keeps its version.
sum_of_sources() {
    (
        cd "$1"
        # shellcheck disable=SC2086
        find Cargo.toml Cargo.lock .cargo $members -name target -prune -o -type f -print |
            LC_ALL=C sort | tr '\n' '\0' | xargs -0 "${sha256[@]}" | "${sha256[@]}" | cut -c 1-64
    )
}

# A folder for this job, outside of the checkout.
scratch=
for folder in "${RUNNER_TEMP:-}" "${TMPDIR:-}" /tmp; do
    [ -n "$folder" ] && is_absolute "$folder" && mkdir -p "$folder" 2>/dev/null && is_of_machine "$folder" || continue
    scratch=$folder
    break
done
[ -n "$scratch" ] || fail "no temporary folder lies outside of the checkout"

# Builds the program from a copy of the sources, whose parent folders hold no settings of the checkout, and puts it
# with its digest to $1.
build_to() {
    local cargo work built digest
    cargo=$(command -v cargo) && program_of_machine "$cargo" >/dev/null ||
        fail "there is no aip-attest $version, and there is no cargo to build it: install Rust, or set AIP_ATTEST_BIN"
    echo "building aip-attest $version"
    work=$(mktemp -d "$scratch/aip-attest-build.XXXXXX")
    mkdir "$work/source"
    # shellcheck disable=SC2086
    tar -C "$root" --exclude=target -cf - Cargo.toml Cargo.lock .cargo $members | tar -C "$work/source" -xf -
    [ "$(sum_of_sources "$work/source")" = "$sum" ] || fail "the action's sources changed while they were copied"
    # Where cargo is rustup's, the variable wins over every toolchain file and over the folders' own settings.
    (
        cd "$work/source"
        "${machine[@]}" RUSTUP_TOOLCHAIN="$toolchain" CARGO_TARGET_DIR="$work/target" \
            "$cargo" install --locked --force --path "$work/source/aip-attest" --root "$work/out"
    ) || fail "aip-attest $version cannot be built: cargo says why above"
    built=$work/out/bin/aip-attest$exe
    is_ours "$built" || fail "what was built is not aip-attest $version"
    digest=$(sha256_of "$built")
    # Each by one rename: whoever reads in between finds a pair that does not fit, and builds.
    mkdir -p "${1%/*}"
    cp "$built" "$1.$$"
    mv -f "$1.$$" "$1"
    echo "$digest" >"$1.sha256.$$"
    mv -f "$1.sha256.$$" "$1.sha256"
    rm -rf "$work"
}

if [ -n "${AIP_ATTEST_BIN:-}" ]; then
    bin=$AIP_ATTEST_BIN
    is_absolute "$bin" || fail "AIP_ATTEST_BIN is not absolute: the program could be the checkout's"
    [ -f "$bin" ] && [ -x "$bin" ] || fail "AIP_ATTEST_BIN names no program"
    bin=$(program_of_machine "$bin") || fail "AIP_ATTEST_BIN lies in the checkout: put the program into RUNNER_TEMP"
elif find_on_path; then
    echo "aip-attest $version is on PATH: $bin"
else
    cache=${RUNNER_TOOL_CACHE:-$scratch}
    mkdir -p "$cache"
    is_of_machine "$cache" || cache=$scratch
    sum=$(sum_of_sources "$root")
    bin=$cache/aip-attest/$version-$sum/${RUNNER_ARCH:-$(uname -m)}/bin/aip-attest$exe
    if [ -f "$bin" ] && [ -f "$bin.sha256" ] && [ "$(sha256_of "$bin")" = "$(cat "$bin.sha256")" ] && is_ours "$bin"; then
        echo "aip-attest $version is in the tool cache: $bin"
    else
        [ ! -e "$bin" ] || echo "the aip-attest in the tool cache is damaged, or not for this machine: it is built again"
        build_to "$bin"
    fi
fi

# Links, so that both names are there and nothing else of the program's folder is.
links=$scratch/aip-attest-bin
mkdir -p "$links"
for name in "aip-attest$exe" "aip$exe"; do
    # What an earlier use of the action in this job put there must not come to point to itself.
    [ "$bin" != "$(real_folder "$links")/$name" ] || continue
    rm -rf "${links:?}/$name"
    ln -s "$bin" "$links/$name" 2>/dev/null || cp "$bin" "$links/$name"
done
echo "$links" >>"$GITHUB_PATH"
echo "bin=$links/aip-attest$exe" >>"$GITHUB_OUTPUT"
