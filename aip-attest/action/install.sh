#!/bin/sh
# Finds the program for the GitHub Action, or builds it; prints nothing but progress.
#
# In this order: AIP_ATTEST_BIN; the same version on PATH; the tool cache; `cargo install` from the action's
# own checkout, into the tool cache. Both names, aip-attest and aip, go on the path of later steps.
set -eu

root=$GITHUB_ACTION_PATH
temp=${RUNNER_TEMP:-${TMPDIR:-/tmp}}

fail() {
    echo "::error title=aip-attest::$1"
    exit 2
}

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml" | head -n 1)
[ -n "$version" ] || fail "the action's checkout has no version"

is_ours() {
    [ -x "$1" ] && [ "$("$1" --version 2>/dev/null)" = "aip-attest $version" ]
}

# A branch moves and keeps its version: what is cached is named after its source too.
source_sum() {
    (
        cd "$root"
        find Cargo.toml Cargo.lock tlog attestation aip-attest -name target -prune -o -type f -print |
            LC_ALL=C sort | tr '\n' '\0' | xargs -0 cksum | cksum | tr -dc '0-9'
    )
}

if [ -n "${AIP_ATTEST_BIN:-}" ]; then
    bin=$AIP_ATTEST_BIN
    [ -f "$bin" ] && [ -x "$bin" ] || fail "AIP_ATTEST_BIN names no program"
    case $bin in /* | [A-Za-z]:*) ;; *) bin=$PWD/$bin ;; esac
elif bin=$(command -v aip-attest) && is_ours "$bin"; then
    echo "aip-attest $version is on PATH: $bin"
else
    cache=${RUNNER_TOOL_CACHE:-$temp}/aip-attest/$version-$(source_sum)/${RUNNER_ARCH:-$(uname -m)}
    bin=$cache/bin/aip-attest
    if is_ours "$bin"; then
        echo "aip-attest $version is in the tool cache: $bin"
    else
        command -v cargo >/dev/null ||
            fail "there is no aip-attest $version, and there is no cargo to build it: install Rust, or set AIP_ATTEST_BIN"
        echo "building aip-attest $version"
        CARGO_TARGET_DIR=$temp/aip-attest-target \
            cargo install --locked --force --path "$root/aip-attest" --root "$cache"
        is_ours "$bin" || fail "what was built is not aip-attest $version"
    fi
fi

# Links, so that both names are there and nothing else of the program's folder is.
links=$temp/aip-attest-bin
mkdir -p "$links"
for name in aip-attest aip; do
    # What an earlier use of the action in this job put there must not come to point to itself.
    [ "$bin" != "$links/$name" ] || continue
    ln -sf "$bin" "$links/$name" 2>/dev/null || cp -f "$bin" "$links/$name"
done
echo "$links" >>"$GITHUB_PATH"
echo "bin=$links/aip-attest" >>"$GITHUB_OUTPUT"
