#!/bin/sh
# S10: feeds each parser with cargo-fuzz for SECONDS_EACH (60): `./run fuzz [TARGET …]`. Findings are in the cache's
# `artifacts`. cargo-fuzz is installed into the cache folder when it is missing.
set -eu
cd "$(dirname "$0")/fuzz"
cache=${AIP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/aip}/fuzz
mkdir -p "$cache"
# libFuzzer's sanitizers are switched on by flags that only a nightly compiler takes without this.
export RUSTC_BOOTSTRAP=1
PATH=$cache/bin:$PATH
command -v cargo-fuzz >/dev/null || CARGO_TARGET_DIR=$cache/target cargo install --quiet --locked --root "$cache" cargo-fuzz
[ $# -gt 0 ] || set -- $(sed -n 's/^name = "\([a-z_]*\)"$/\1/p' Cargo.toml | grep -v '^fuzz$')
for target in "$@"; do
    mkdir -p "$cache/corpus/$target" "$cache/artifacts/$target"
    cargo fuzz run --fuzz-dir . --target-dir "$cache/target" "$target" "$cache/corpus/$target" -- \
        -max_total_time="${SECONDS_EACH:-60}" -artifact_prefix="$cache/artifacts/$target/" -print_final_stats=1 2>&1 |
        grep -E 'number_of_executed_units|ERROR|panicked|Test unit' || true
    if [ -n "$(ls "$cache/artifacts/$target")" ]; then
        echo "FAIL     $target: see $cache/artifacts/$target"
        exit 1
    fi
    echo "pass     $target"
done
