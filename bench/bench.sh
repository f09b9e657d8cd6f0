#!/bin/sh
# Runs the benchmarks: builds in release, installs the peers into a cache, and prints tables.
#
#     ./run bench [--quick | --full] [--rounds N] [--entries N] [SECTION …]
#
#     trees      integrate and proof verification
#     add        durable adds, beside Tessera and rekor-tiles
#     identities the same by bare signers and by registered ones
#     latency    one add at a quiet time, beside Tessera
#     large      start, memory and publication of a large log; its tiles, beside nginx
#     cold       one verification, beside cosign
#     cosigned   a log with witnesses, and with one that hangs
#     messages   messages a second, beside adds by hash; what entries notice of a relay
#     witness    add-checkpoint, beside litewitness
#     trust      trust scores: of a million DIDs if asked for by name, else fewer
#     profile    where the server's time goes, by perf's clock; only if asked for by name
#     attack     what honest clients of a log notice of attackers; only if asked for by name
#
# --quick, the default, takes four minutes once everything is built; --full as long as it takes. A
# peer that cannot be had is reported as "not run", with the reason. Nothing is installed into the system: nginx
# is unpacked from its package, Tessera, cosign and litewitness are built by Go, at pinned versions.
#
#   AIP_CACHE   where the peers are kept (default: $XDG_CACHE_HOME/aip or ~/.cache/aip)
#   BENCH_LOG_SERVER  another build of log-server, to compare with
#   TMPDIR      where the logs are written: a real disk, or nothing is durable (default: /tmp)
set -u

here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.." || exit 2
cache=${AIP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/aip}/interop
mkdir -p "$cache/bin" || exit 2
interop=$here/../tests/interop
. "$interop/tools.sh"

tessera_package=github.com/transparency-dev/tessera/cmd/conformance/posix
rekor_module=github.com/sigstore/rekor-tiles/v2
rekor_version=v2.3.0
cosign_module=github.com/sigstore/cosign/v3
cosign_version=v3.1.3

# peer VARIABLE NAME PATH COMMAND...: names the peer at PATH, made by the command if need be; or why there is none.
peer() {
    variable=$1 name=$2 path=$3 && shift 3
    if "$@" >"$cache/$name.out" 2>&1 && [ -x "$path" ]; then
        export "$variable=$path"
    else
        export "$variable=" "${variable}_WHY=$(grep -v '^[[:space:]]*$' "$cache/$name.out" | tail -n 1)"
    fi
}

go_tool() { command -v go >/dev/null || { echo 'there is no go'; return 1; }; }
# Pinned in bench/go/go.mod; Go's own cache makes a second build take a second.
get_tessera() { go_tool && (cd "$here/go" && nice go build -buildvcs=false -o "$cache/bin/tessera-posix" "$tessera_package"); }
get_rekor() {
    go version -m "$cache/bin/rekor-posix" 2>/dev/null | grep -q "$rekor_module[[:space:]]$rekor_version" ||
        { go_tool && GOBIN="$cache/rekor" nice go install "$rekor_module/cmd/rekor-server/posix@$rekor_version" &&
            mv "$cache/rekor/posix" "$cache/bin/rekor-posix"; }
}
get_cosign() {
    go version -m "$cache/bin/cosign" 2>/dev/null | grep -q "$cosign_module[[:space:]]$cosign_version" ||
        { go_tool && GOBIN="$cache/bin" nice go install "$cosign_module/cmd/cosign@$cosign_version"; }
}
get_python() { command -v python3 >/dev/null || { echo 'there is no python3'; return 1; }; }

cargo build --release --quiet -p log-server -p witness -p aip-attest -p bench \
    --bin log-server --bin witness --bin aip-attest --bin bench || exit 2
bench=$(cargo metadata --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release/bench

peer BENCH_TESSERA tessera "$cache/bin/tessera-posix" get_tessera
peer BENCH_REKOR rekor "$cache/bin/rekor-posix" get_rekor
peer BENCH_COSIGN cosign "$cache/bin/cosign" get_cosign
peer BENCH_LITEWITNESS litewitness "$cache/bin/litewitness" litewitness_build
peer BENCH_NGINX nginx "$nginx" get_nginx
peer BENCH_PYTHON python3 "$(command -v python3)" get_python
export BENCH_LITEWITNESS_LOGS="$interop/python/litewitness_logs.py"

exec "$bench" "$@"
