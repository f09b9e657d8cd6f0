#!/bin/sh
# Measures this project beside its peers, in one run on one machine: `./run bench [--quick | --full] [SECTION …]`.
# Installs the peers into the cache folder; what cannot be had is reported as not run. `bench` prints the tables.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
target=${CARGO_TARGET_DIR:-$root/target}
cache=${AIP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/aip}/interop
mkdir -p "$cache/bin"

# peer VARIABLE PROGRAM COMMAND...: names the program for `bench`, or why there is none.
peer() {
    variable=$1 program=$2
    shift 2
    if why=$("$@" 2>&1) && found=$(command -v "$program"); then
        export "$variable=$found"
    else
        export "${variable}_WHY=cannot be installed: $(printf %s "$why" | grep -v '^[[:space:]]*$' | tail -n 1)"
    fi
}

packages() {
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' && continue
        if [ "$(id -u)" = 0 ]; then sudo=; else sudo=sudo; fi
        $sudo apt-get update -qq && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package"
    done
}
tessera() { (cd "$here/bench/go" && go build -buildvcs=false -o "$cache/bin/tessera-posix" github.com/transparency-dev/tessera/cmd/conformance/posix); }
cosign() { [ -x "$cache/bin/cosign" ] || GOBIN=$cache/bin go install github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3; }
nginx_light() { command -v nginx >/dev/null || packages nginx-light; }
tracer() { command -v strace >/dev/null || packages strace; }

PATH=$PATH:/usr/sbin
peer BENCH_TESSERA "$cache/bin/tessera-posix" tessera
peer BENCH_COSIGN "$cache/bin/cosign" cosign
peer BENCH_NGINX nginx nginx_light
peer BENCH_PYTHON python3 true
peer BENCH_STRACE strace tracer
export BENCH_BUNDLES="$here/interop/python/sigstore_bundles.py"

exec "$target/release/bench" "$@"
