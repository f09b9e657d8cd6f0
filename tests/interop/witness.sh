# The part of run.sh about witnesses, all real and in one run: a Tessera log that our witness cosigns, our log that other
# people's witnesses cosign beside ours, and each one's cosignatures checked by the other's code.

oneshot_package=github.com/transparency-dev/tessera/cmd/examples/posix-oneshot

check_witnesses() {
    if ! start_witness >"$work/errors" 2>&1; then
        fail witness "$(tail -n 1 "$work/errors")" "$work/errors"
        return
    fi
    check_tessera
    check_peers
}

# A Tessera log, from size 0 on: cosigned, published, and read by the checkers.
check_tessera() {
    { wanted posix-oneshot || wanted fsck || wanted torchwood || wanted formats; } &&
        installed posix-oneshot go_build "$oneshot_package" || return
    scenes=tessera
    check posix-oneshot "$(module_version posix-oneshot github.com/transparency-dev/tessera)" check_oneshot
    [ -f "$work/tessera/cosigned" ] || return
    if wanted fsck && installed fsck go_build "$fsck_package"; then
        check fsck "$(module_version fsck github.com/transparency-dev/tessera)" check_fsck
    fi
    check_cosignatures
}

# A log of ours with a quorum of two, one of them at least somebody else's.
check_peers() {
    peers=''
    if wanted litewitness && installed litewitness litewitness_build; then peers=litewitness; fi
    if wanted omniwitness; then
        if [ -x "${OMNIWITNESS:-}" ]; then peers="${peers:+$peers }omniwitness"; else
            not_run omniwitness 'OMNIWITNESS names no program, and no package client has it'
        fi
    fi
    [ -n "$peers" ] || return
    if ! witnessed_scene >"$work/errors" 2>&1; then
        fail 'log-server, aip-attest' "witnessed: $(tail -n 1 "$work/errors")" "$work/errors"
        return
    fi
    scenes=witnessed
    for peer in $peers; do
        check "$peer" "$(peer_version "$peer")" check_peer "$peer"
    done
    check 'log-server, aip-attest' "with $peers" check_quorum
    sed 's/^group two-of-us 2/group two-of-us all/' "$live/policy" >"$live/all"
    keep_cosigned "$live" "$live/all" >/dev/null 2>&1
    if wanted fsck && installed fsck go_build "$fsck_package"; then
        check fsck "$(module_version fsck github.com/transparency-dev/tessera)" check_fsck
    fi
    if wanted torchwood && installed torchwood newer_go_build .; then
        check torchwood "$(module_version torchwood filippo.io/torchwood)" "$cache/bin/torchwood"
    fi
    check_cosignatures
}

check_cosignatures() {
    for library in torchwood:filippo.io/torchwood formats:github.com/transparency-dev/formats; do
        module=${library#*:} library=${library%%:*}
        if wanted "$library" && installed "$library" newer_go_build ./cosignatures; then
            check "$library" "$(module_version cosignatures "$module")" "$cache/bin/cosignatures" "$library"
        fi
    done
}

# ---- Witnesses

# Ours, with both kinds of key, before there is any log: `serve` reads its logs again on SIGHUP.
start_witness() {
    for program in "$witness" "$check_note"; do
        [ -x "$program" ] || { echo "no program $program: cargo build --release, or set WITNESS_BIN and CHECK_NOTE_BIN" && return 1; }
    done
    witness_url=http://127.0.0.1:$(free_port)
    "$witness" init --dir "$work/witness" --name interop.example/witness --url "$witness_url" >"$work/witness.policy" &&
        serve_witness
}

serve_witness() {
    "$witness" serve --dir "$work/witness" --listen "${witness_url#http://}" >>"$work/witness.out" 2>&1 &
    witness_process=$!
    processes="$processes $witness_process"
    wait_for $witness_process "$work/witness.out" http_get "$witness_url/readyz"
}

# witness_cosigns VKEY: from now on.
witness_cosigns() {
    printf '\nvkey %s\n' "$1" >>"$work/witness/logs"
    kill -HUP "$witness_process"
    wait_for "$witness_process" "$work/witness.out" witness_knows "$1"
}
witness_knows() { http_get "$witness_url/metadata" | grep -qF "\"${1%%+*}\""; }

# start_peer NAME VKEY: has it cosign the log; leaves its URL and vkey in $work/NAME.
start_peer() {
    mkdir "$work/$1"
    printf %s "http://127.0.0.1:$(free_port)" >"$work/$1/url"
    "init_$1" "$2" && serve_peer "$1"
}

serve_peer() {
    "serve_$1" "$work/$1" >>"$work/$1/out" 2>&1 &
    printf %s $! >"$work/$1/process"
    processes="$processes $!"
    port_of_peer=$(sed 's/.*://' "$work/$1/url")
    wait_for $! "$work/$1/out" python3 -c "import socket; socket.create_connection(('127.0.0.1', $port_of_peer))" &&
        "ready_$1" "$work/$1"
}

peer_version() {
    case $1 in
        litewitness) module_version litewitness filippo.io/torchwood ;;
        omniwitness) go version -m "$OMNIWITNESS" 2>/dev/null | awk '$1 == "mod" { print $3 }' ;;
    esac
}

init_litewitness() {
    printf %s "$1" >"$work/litewitness/log"
    ssh-agent -D -a "$work/litewitness/agent" >"$work/litewitness/agent.out" 2>&1 &
    processes="$processes $!"
    wait_for $! "$work/litewitness/agent.out" test -S "$work/litewitness/agent" &&
        ssh-keygen -q -t ed25519 -N '' -C interop -f "$work/litewitness/key" &&
        SSH_AUTH_SOCK="$work/litewitness/agent" ssh-add -q "$work/litewitness/key"
}
serve_litewitness() {
    exec "$cache/bin/litewitness" -db "$1/db" -name interop.example/litewitness -ssh-agent "$1/agent" \
        -key "$(ssh-keygen -lf "$1/key.pub" | cut -d ' ' -f 2)" -listen "$(sed 's|http://||' "$1/url")"
}
ready_litewitness() {
    [ -f "$1/vkey" ] && return
    sed -n 's/.*vkey=//p' "$1/out" | tr -d '"\n' >"$1/vkey"
    python3 "$here/python/litewitness_logs.py" "$1/db" <"$1/log"
}

# Its key is one that our `witness init` makes: the text form is everybody's.
init_omniwitness() {
    "$witness" init --dir "$work/omniwitness/keys" --key-type ed25519 --name interop.example/omniwitness \
        >"$work/omniwitness/policy" || return 1
    awk '$1 == "witness" { printf "%s", $3 }' "$work/omniwitness/policy" >"$work/omniwitness/vkey"
    printf 'Logs:\n  - Origin: %s\n    URL: http://127.0.0.1:1/\n    PublicKey: %s\n    Feeder: none\n' "${1%%+*}" "$1" \
        >"$work/omniwitness/logs.yaml"
}
serve_omniwitness() {
    exec "$OMNIWITNESS" --private_key_path "$1/keys/ed25519.skey" --additional_logs "$1/logs.yaml" --db_file "$1/db" \
        --listen "$(sed 's|http://||' "$1/url")" --metrics_listen 127.0.0.1:0 --rate_limit=1000000 --db_max_conns=1
}
ready_omniwitness() { :; }

# ---- Checks

# A log of somebody else's asks our witness: about the empty tree, then about what it grew to. With the witness stopped it
# publishes nothing, and goes on when the witness is back.
check_oneshot() {
    mkdir "$1" "$1/entries" "$1/checkpoints"
    make_oneshot_log "$1" >&2 || return 1
    oneshot() { # SCENE: adds its entries/new, and keeps what is published
        limited "$cache/bin/posix-oneshot" --storage_dir "$1/log" --private_key "$1/skey" \
            --witness_policy_file "$1/tessera_policy" --entries "$1/entries/new/*" >"$1/out" 2>&1 || { cat "$1/out" >&2 && return 1; }
        rm -rf "$1/entries/new"
        size=$(sed -n 2p "$1/log/checkpoint")
        cp "$1/log/checkpoint" "$1/checkpoints/$size"
    }
    sizes=''
    for count in 0 7 300; do
        new_entries "$1" "$count"
        oneshot "$1" || return 1
        "$check_note" "$1/policy" "$1/log/checkpoint" >"$1/note" || return 1
        sizes="$sizes $size"
    done
    [ "$sizes" = ' 0 7 307' ] || { echo "published sizes are$sizes" >&2 && return 1; }
    end "$witness_process"
    new_entries "$1" 1
    timeout 5 "$cache/bin/posix-oneshot" --storage_dir "$1/log" --private_key "$1/skey" --witness_timeout 500ms \
        --witness_policy_file "$1/tessera_policy" --entries "$1/entries/new/*" >"$1/out" 2>&1
    cmp -s "$1/log/checkpoint" "$1/checkpoints/307" || { echo 'it published without its witness' >&2 && return 1; }
    serve_witness >&2 || return 1
    new_entries "$1" 2
    oneshot "$1" && "$check_note" "$1/policy" "$1/log/checkpoint" >"$1/note" || return 1
    [ "$size" = 310 ] || { echo "it went on at size $size" >&2 && return 1; }
    origin_hash=$(printf %s "$(head -n 1 "$1/log/checkpoint")" | sha256sum | cut -d ' ' -f 1)
    http_get "$witness_url/$origin_hash/checkpoint" >"$1/cosigned" && "$check_note" "$1/policy" "$1/cosigned" >"$1/note" || return 1
    serve_altered tessera "$1/log" && printf %s "$served" >"$1/url" || return 1
    echo "cosigned by our witness at sizes$sizes and $size, not published while it was stopped; our policy code: $(cat "$1/note")"
}

make_oneshot_log() {
    # Only for a key in the text form that Tessera reads.
    "$log_server" init --dir "$1/keys" --origin interop.example/tessera >"$1/vkey.line" || return 1
    tr -d '\n' <"$1/vkey.line" >"$1/vkey"
    tr -d '\n' <"$1/keys/log.skey" >"$1/skey"
    witness_cosigns "$(cat "$1/vkey")" || return 1
    printf %s "$witness_url" >"$1/witness_url"
    { echo "log $(cat "$1/vkey")" && cat "$work/witness.policy" && echo 'quorum interop.example/witness'; } >"$1/policy"
    # Its policies know Ed25519 witnesses only; our other line is for those who read the witness.
    { grep '^witness [^ ]*-ed ' "$work/witness.policy" && echo 'quorum interop.example/witness-ed'; } >"$1/tessera_policy"
}

new_entries() {
    mkdir "$1/entries/new" 2>/dev/null
    made=0
    while [ "$made" -lt "$2" ]; do
        made=$((made + 1))
        echo "entry $made of $2" >"$1/entries/new/$made"
    done
}

witnessed_scene() {
    make_log witnessed interop.example/witnessed && witness_cosigns "$vkey" || return 1
    printf %s "$witness_url" >"$live/witness_url"
    {
        echo "log $vkey"
        cat "$work/witness.policy"
        for peer in $peers; do
            start_peer "$peer" "$vkey" >&2 || return 1
            echo "witness $peer $(cat "$work/$peer/vkey") $(cat "$work/$peer/url")"
        done
        echo "group two-of-us 2 interop.example/witness $peers"
        echo "quorum two-of-us"
    } >"$live/policy" || return 1
    cp "$live/policy" "$live/data/policy"
    serve_log --publish-interval 100ms --witness-timeout 1s --deadline 3s && serve_altered witnessed "$url" &&
        attest init && attest policy pin "$url" --yes && sign_artifacts &&
        did=$(attest whoami --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["did"])')
}

# check_peer NAME SCENE: somebody else's witness cosigned what our log published last.
check_peer() {
    sed "s/^quorum .*/quorum $1/" "$2/policy" >"$2/alone"
    keep_cosigned "$2" "$2/alone"
}

# keep_cosigned SCENE POLICY: with a quorum of two of three, one cosignature may come after the checkpoint was published.
keep_cosigned() {
    tries=0
    until http_get "$url/checkpoint" >"$1/cosigned" && "$check_note" "$2" "$1/cosigned" 2>"$1/why"; do
        tries=$((tries + 1))
        [ "$tries" -lt 50 ] || { cat "$1/why" >&2 && return 1; }
        sleep 0.2
    done
}

# The receipts verify without a network under the quorum. With everybody else's witness stopped, and then with ours, nothing
# more is published, and the reason is told; with them back what was pending is published.
check_quorum() {
    statuses=''
    verify_all || return 1
    goes_on_without others "$peers" && goes_on_without ours "ours ${peers% *}" || return 1
    verify_all || return 1
    echo "$receipts receipts verified under the quorum $network; with the others stopped, then with ours, new entries were" \
        "answered$statuses with the reason, their receipts refused offline, and all logged once the witnesses were back"
}

verify_all() {
    attest_offline verify '[0-9]*.bin' private.bin --receipts ../receipts --signer "$did" >/dev/null &&
        attest_offline verify sbom.bin --predicate-type https://cyclonedx.org/bom --receipts ../receipts --signer "$did" >/dev/null
}

attest_offline() {
    cut_network
    isolated=$offline
    attest "$@"
    set -- $?
    isolated=''
    return "$1"
}

# goes_on_without CASE WITNESSES: entries that come while these are stopped, so that one is left, are published later: one is
# in the signed checkpoint, one in the further round, and one is not taken.
goes_on_without() {
    stopped=" $2 "
    # With two witnesses in all, ours is stopped alone.
    [ "$peers" = "${peers% *}" ] && [ "$1" = ours ] && stopped=' ours '
    for who in $stopped; do
        case $who in ours) end "$witness_process" ;; *) end "$(cat "$work/$who/process")" ;; esac
    done
    pending=''
    for number in 1 2 3; do
        artifact=without-$1-$number.bin
        echo "signed without$stopped" >"$live/artifacts/$artifact"
        echo "$number" >>"$live/artifacts/$artifact"
        attest sign "$artifact" --log "$url" --receipts ../receipts --timeout 3s >"$live/refused" 2>&1
        if [ $? != 2 ] || ! grep -q 'quorum `two-of-us` is not met' "$live/refused"; then
            cat "$live/refused" >&2
            echo "signing without$stopped did not fail for the quorum" >&2
            return 1
        fi
        receipt=$(cd "$live/artifacts" && ls ../receipts/"$artifact".*.receipt.json) || return 1
        status=$(python3 "$here/python/resubmit.py" "$url" "$live/artifacts/$receipt") || return 1
        statuses="$statuses${statuses:+,} $status"
        attest_offline verify "$artifact" --receipts ../receipts --signer "$did" >/dev/null 2>&1
        [ $? = 2 ] || { echo "a receipt was verified without$stopped" >&2 && return 1; }
        pending="$pending $receipt"
    done
    for who in $stopped; do
        case $who in ours) serve_witness >&2 ;; *) serve_peer "$who" >&2 ;; esac || return 1
    done
    # shellcheck disable=SC2086 # names of ours, without blanks
    attest submit $pending --log "$url" >&2 &&
        attest_offline verify "without-$1-*.bin" --receipts ../receipts --signer "$did" >&2
}
