#!/bin/sh
# Has real third-party tools read our live log and our receipts, cosign our log and be cosigned by our witness, and prints
# one line a check:
#
#     pass|FAIL|not run  <name> <version>: <what was checked>
#
# Every check also hands its tool altered input, and fails unless that is refused. Exit 1 if any check failed.
# Tools are pinned (in go/, go/torchwood/, node/, python/, rust/, and cosign in sigstore.sh) and kept in a cache folder: a second run costs seconds.
#
#     sh run.sh           everything
#     sh run.sh witness   witnesses only
#     sh run.sh cosign    Sigstore only: our export, and what Sigstore's programs say of it
#     sh run.sh messages  sealed messages and legacy boxes only
#     sh run.sh aip       Python aip only
#     sh run.sh windows   the command line on Windows only, by wine; without mingw, wine and Rust's target it is not run
#
#   LOG_SERVER_BIN, AIP_ATTEST_BIN, WITNESS_BIN, CHECK_NOTE_BIN, MESSAGE_INTEROP_BIN
#                                    our programs (default: release builds in $CARGO_TARGET_DIR or ./target)
#   OMNIWITNESS                      a built omniwitness, which no package client has: without it its check is not run
#   AIP_VECTORS                      folder with entry.json and sigstore/: the checks run on its sample log too
#   INTEROP_ONLY="name ..."          only these checks (the names in the output)
#   AIP_CACHE                        where the tools are kept (default: $XDG_CACHE_HOME/aip or ~/.cache/aip)
#   INTEROP_KEEP=1                   keep the temporary folder, and say where it is
set -u

here=$(cd "$(dirname "$0")" && pwd)
interop=$here
binaries=${CARGO_TARGET_DIR:-$(cd "$here/../.." && pwd)/target}/release
log_server=${LOG_SERVER_BIN:-$binaries/log-server}
aip_attest=${AIP_ATTEST_BIN:-$binaries/aip-attest}
witness=${WITNESS_BIN:-$binaries/witness}
check_note=${CHECK_NOTE_BIN:-$binaries/check_note}
message_interop=${MESSAGE_INTEROP_BIN:-$binaries/message_interop}
cache=${AIP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/aip}/interop
work=$(mktemp -d)
mkdir -p "$cache/bin"

fsck_package=github.com/transparency-dev/tessera/cmd/fsck

names="fsck xmod torchwood pymerkle securesystemslib in-toto-attestation openapi-spec-validator tlog_tiles aip-verify sigstore-verify \
@sigstore/verify cosign posix-oneshot litewitness omniwitness formats nginx pyhpke crypto/hpke pynacl aip windows"
scenes='' processes='' passed=0 failed=0 not_run=0

# end PROCESS: one that this run started.
end() {
    kill "$1" 2>/dev/null
    tries=0
    while kill -0 "$1" 2>/dev/null && [ $tries -lt 50 ]; do tries=$((tries + 1)) && sleep 0.1; done
    kill -9 "$1" 2>/dev/null
    wait "$1" 2>/dev/null
    processes=$(echo " $processes " | sed "s/ $1 / /")
}

stop() {
    for process in $processes; do end "$process"; done
    processes=''
    if [ -n "${INTEROP_KEEP:-}" ]; then echo "kept: $work" >&2; else rm -rf "$work"; fi
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# ---- Lines of the report

pass() { passed=$((passed + 1)) && printf 'pass     %s: %s\n' "$1" "$2"; }
not_run() { not_run=$((not_run + 1)) && printf 'not run  %s: %s\n' "$1" "$2"; }
fail() {
    failed=$((failed + 1))
    printf 'FAIL     %s: %s\n' "$1" "$2"
    [ ! -s "$3" ] || tail -n 20 "$3" | sed 's/^/         | /' >&2
}

wanted() {
    case " ${INTEROP_ONLY:-$1} " in *" $1 "*) return 0 ;; *) return 1 ;; esac
}

# installed NAME COMMAND...: without its tool a check is "not run", never passed.
installed() {
    name=$1 && shift
    "$@" >"$work/install" 2>&1 && return 0
    not_run "$name" "cannot be installed: $(grep -v '^[[:space:]]*$' "$work/install" | tail -n 1)"
    return 1
}

# check NAME VERSION COMMAND...: the command gets a scene's folder, and prints what it checked.
check() {
    name=$1 version=$2 && shift 2
    for scene in $scenes; do
        if limited "$@" "$work/$scene" >"$work/checked" 2>"$work/errors"; then
            pass "$name $version" "$scene: $(cat "$work/checked")"
        else
            fail "$name $version" "$scene: $(tail -n 1 "$work/errors")" "$work/errors"
        fi
    done
}

# A tool that hangs is a failure too. Shell functions cannot be handed to timeout: what they call is limited there.
limited() {
    case $(command -v timeout):$(command -v "$1") in
        /*:/*) timeout 120 "$@" ;;
        *) "$@" ;;
    esac
}

# ---- Installing (what bench/bench.sh needs too is in tools.sh)

. "$here/tools.sh"

python_checks() { python_env python "$here/python/requirements.txt"; }
python_version() { "$cache/python/bin/python" -c "import importlib.metadata as m; print(m.version('$1'))"; }

# module_version PROGRAM MODULE: as the program itself says.
module_version() {
    PATH="$PATH:$cache/go/bin" go version -m "$cache/bin/$1" 2>/dev/null | awk -v module="$2" '$2 == module { print $3 }'
}

rust_build() {
    CARGO_TARGET_DIR="$cache/rust" nice -n 10 cargo build --quiet --locked --manifest-path "$here/rust/Cargo.toml" --bin "$1"
}
crate_version() {
    awk -v name="name = \"$1\"" '$0 == name { getline; gsub(/"/, ""); print $3 }' "$here/rust/Cargo.lock"
}

# ---- Scenes: what a log and our command line leave behind, for the checks to read (see python/scene.py)

# serve_altered SCENE SOURCE: the log, altered, on a port of its own.
serve_altered() {
    python3 "$here/python/altering_server.py" "$2" >"$work/$1/port" &
    processes="$processes $!"
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        [ ! -s "$work/$1/port" ] || break
        sleep 0.3
    done
    served="http://127.0.0.1:$(cat "$work/$1/port")"
    printf %s "$served/altered" >"$work/$1/altered"
}

sample_scene() {
    mkdir "$work/sample"
    python3 "$here/python/sample_scene.py" "$work/sample" && serve_altered sample "$work/sample/log" &&
        printf %s "$served" >"$work/sample/url"
}

http_get() { python3 -c 'import sys, urllib.request as u; sys.stdout.buffer.write(u.urlopen(sys.argv[1], timeout=10).read())' "$1"; }

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# wait_for PROCESS OUTPUT COMMAND...: until the command succeeds; the process writes to that file.
wait_for() {
    process=$1 output=$2 && shift 2
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        if [ "$tries" -gt 100 ] || ! kill -0 "$process" 2>/dev/null; then
            tail -n 5 "$output"
            echo "not ready: $*"
            return 1
        fi
        sleep 0.2
    done
}

# make_log SCENE ORIGIN: a scene with a log of ours, which does not run yet; commands below are about this scene.
make_log() {
    live=$work/$1
    mkdir "$live" "$live/home" "$live/artifacts" "$live/receipts" "$live/checkpoints"
    for program in "$log_server" "$aip_attest"; do
        [ -x "$program" ] || { echo "no program $program: cargo build --release, or set LOG_SERVER_BIN and AIP_ATTEST_BIN" && return 1; }
    done
    vkey=$("$log_server" init --dir "$live/data" --origin "$2") && cp "$live/data/policy" "$live/policy" || return 1
    printf %s "$vkey" >"$live/vkey"
    port=$(free_port)
    url=http://127.0.0.1:$port
    printf %s "$url" >"$live/url"
}

# serve_log [FLAG...]
serve_log() {
    "$log_server" serve --dir "$live/data" --listen "127.0.0.1:$port" "$@" >"$live/log-server.out" 2>&1 &
    processes="$processes $!"
    wait_for $! "$live/log-server.out" http_get "$url/readyz"
}

live_scene() {
    make_log live interop.example/log && serve_log && serve_altered live "$url" &&
        attest init && attest policy pin "$url" --yes && attest init --register && keep_checkpoint && sign_artifacts
}

# A home and a folder of its own, so that neither the user's keys nor a policy in the checkout are taken.
attest() { (cd "$live/artifacts" && limited ${isolated:-} env -i PATH="$PATH" HOME="$live/home" "$aip_attest" "$@"); }

# Several sizes, among them one of more than a full tile; several predicates; public and private.
sign_artifacts() {
    number=0
    for count in 1 5 260; do
        files=''
        while [ "$count" -gt 0 ]; do
            number=$((number + 1)) count=$((count - 1))
            echo "artifact $number" >"$live/artifacts/$number.bin"
            files="$files $number.bin"
        done
        # shellcheck disable=SC2086 # names of ours, without blanks
        sign $files || return 1
    done
    echo 'artifact with a bill of materials' >"$live/artifacts/sbom.bin"
    echo '{"bomFormat":"CycloneDX","specVersion":"1.6","vulnerabilities":[{"ratings":[{"score":9.8}]}]}' >"$live/sbom.json"
    echo 'private artifact' >"$live/artifacts/private.bin"
    sign --predicate-type https://cyclonedx.org/bom --predicate ../sbom.json sbom.bin &&
        sign --private private.bin || return 1
    artifacts=$(ls "$live/artifacts" | wc -l) receipts=$(ls "$live/receipts" | wc -l)
    [ "$artifacts" -eq "$receipts" ] || { echo "$artifacts artifacts, $receipts receipts" && return 1; }
}

sign() {
    attest sign "$@" --log "$url" --receipts ../receipts && keep_checkpoint
}

# The first one, behind the inception, is of a tree of one leaf.
keep_checkpoint() {
    http_get "$url/checkpoint" >"$live/checkpoint" || return 1
    mv "$live/checkpoint" "$live/checkpoints/$(sed -n 2p "$live/checkpoint")"
}

set_scenes() {
    if live_scene >"$work/errors" 2>&1; then
        scenes=live
        pass 'log-server, aip-attest' "live: $receipts artifacts signed and logged, checkpoints kept at sizes $(
            ls "$live/checkpoints" | sort -n | xargs)"
    else
        fail 'log-server, aip-attest' "live: $(tail -n 1 "$work/errors")" "$work/errors"
    fi
    if [ -z "${AIP_VECTORS:-}" ]; then
        not_run 'sample log' 'AIP_VECTORS names no folder with entry.json'
    elif sample_scene >"$work/errors" 2>&1; then
        scenes="$scenes sample"
    else
        fail 'sample log' "$(tail -n 1 "$work/errors")" "$work/errors"
    fi
}

# ---- Checks that are not programs of their own

# fsck 1.0.4 exits 0 even when it fails: only what it says counts. A worker of it that finds a fault stops, and with none
# left it hangs: hence more workers than we plant faults.
check_fsck() {
    fsck() { limited "$cache/bin/fsck" --ui=false --N 16 --storage_url "$1/" --public_key "$2/vkey" 2>&1; }
    for url in "$(cat "$1/url")" "$(cat "$1/altered")/nothing"; do
        fsck "$url" "$1" >"$work/fsck"
        if ! grep -q "Successfully fsck'd log" "$work/fsck"; then
            cat "$work/fsck" >&2
            { grep 'fsck failed' "$work/fsck" || echo 'fsck came to no end'; } >&2
            return 1
        fi
    done
    size=$(sed -n "s/.*Successfully fsck'd log with size \([0-9]*\) .*/\1/p" "$work/fsck")
    for what in checkpoint tile entries; do
        fsck "$(cat "$1/altered")/$what" "$1" >"$work/fsck"
        if grep -q "Successfully fsck'd log" "$work/fsck" || ! grep -q 'fsck failed' "$work/fsck"; then
            echo "a log with an altered $what was not refused" >&2
            return 1
        fi
    done
    echo "every tile and entry bundle of size $size checked; altered checkpoint, tile, entry refused"
}

# Sets $offline, the command that cuts off the network, and $network, what to say of it.
cut_network() {
    offline='' network='network not cut off (the kernel does not let us)'
    for cut in 'unshare -n' 'unshare -rn'; do
        if $cut true 2>/dev/null; then offline=$cut network='with no network' && break; fi
    done
}

# docs/nginx.conf, in front of a log: the tests of ../tests/proxied.rs, which say themselves what must be refused.
check_nginx() {
    BENCH_NGINX=$nginx cargo test --release --locked --manifest-path "$here/../../Cargo.toml" --workspace --test proxied \
        -- --nocapture >"$work/checked" 2>"$work/errors"
    if [ $? -ne 0 ]; then
        fail nginx "$(grep -hE '^(error|test result)' "$work/errors" "$work/checked" | tail -n 1)" "$work/errors"
    elif grep -hq 'not run:' "$work/errors"; then
        not_run nginx "$(sed -n 's/.*not run: //p' "$work/errors" | tail -n 1)"
    else
        pass "nginx $("$nginx" -v 2>&1 | sed 's|.*/||')" \
            "docs/nginx.conf: $(sed -n 's/^test result: ok. \([0-9]*\) passed.*/\1/p' "$work/checked") tests"
    fi
}

# ---- The run

case ${1:-} in
    '' | aip | cosign | messages | witness | windows) ;;
    *) echo "run.sh: $1? There are: aip, cosign, messages, witness, windows" >&2 && exit 2 ;;
esac
for name in ${INTEROP_ONLY:-}; do
    case " $names " in *" $name "*) ;; *) echo "INTEROP_ONLY: no check $name; there are: $names" >&2 && exit 2 ;; esac
done
if ! command -v python3 >/dev/null; then
    not_run 'every check' 'there is no python3 to lead the others'
    exit 0
fi
check_log() {
    set_scenes
    [ -n "$scenes" ] || return 0
    if wanted fsck && installed fsck go_build "$fsck_package"; then
        check fsck "$(module_version fsck github.com/transparency-dev/tessera)" check_fsck
    fi
    if wanted xmod && installed xmod go_build ./readlog; then
        check xmod "$(module_version readlog golang.org/x/mod)" "$cache/bin/readlog"
    fi
    if wanted torchwood && installed torchwood newer_go_build .; then
        check torchwood "$(module_version torchwood filippo.io/torchwood)" "$cache/bin/torchwood"
    fi
    for tool in pymerkle securesystemslib in-toto-attestation openapi-spec-validator; do
        if wanted $tool && installed $tool python_checks; then
            all_scenes=$scenes
            # The sample log is a folder of files: it describes no API.
            [ $tool != openapi-spec-validator ] || scenes=$(echo "$scenes" | sed 's/ *sample//')
            check $tool "$(python_version $tool)" "$cache/python/bin/python" -B "$here/python/check_$(echo $tool | tr - _).py"
            scenes=$all_scenes
        fi
    done
    if wanted tlog_tiles && installed tlog_tiles rust_build read_log; then
        check tlog_tiles "$(crate_version tlog_tiles) with signed_note $(crate_version signed_note)" "$cache/rust/debug/read_log"
    fi
    check_sigstore
    if wanted nginx && installed nginx get_nginx; then check_nginx; fi
}

. "$here/messages.sh"
. "$here/sigstore.sh"
. "$here/witness.sh"
. "$here/aip.sh"
. "$here/windows.sh"
case ${1:-} in
    '') check_log; check_messages; check_witnesses; check_python_aip; check_windows ;;
    cosign) set_scenes; [ -z "$scenes" ] || check_sigstore ;;
    messages) check_messages ;;
    witness) check_witnesses ;;
    aip) check_python_aip ;;
    windows) check_windows ;;
esac

echo "$passed passed, $failed failed, $not_run not run"
[ "$failed" -eq 0 ]
