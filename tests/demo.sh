# The demo, read by ./run: one log, three witnesses, one pipeline, real artifacts, receipts that anyone verifies
# offline; a deploy that is gated on trust and triggered by a message, a key that is stolen and taken back; then witnesses fail, and the log lies.

started=$(date +%s)
build -p log-server -p witness -p monitor -p aip-attest --bin log-server --bin witness --bin monitor --bin aip-attest
built=$(date +%s)
log_server=$target/release/log-server
witness=$target/release/witness
monitor=$target/release/monitor
attest=$target/release/aip-attest
folder=$(mktemp -d)
pids=
finish() {
    # shellcheck disable=SC2086
    [ -z "$pids" ] || { kill $pids; wait $pids; } 2>/dev/null || true # some have ended already
    rm -rf "$folder"
}
trap finish EXIT
trap 'exit 130' INT TERM

# Its own home: nothing of yours is read or written.
HOME=$folder/home
mkdir -p "$HOME" "$folder/dist" "$folder/other" "$folder/org" "$folder/thief"
unset AIP_DID AIP_PRIVATE_KEY AIP_LOG_URL AIP_POLICY AIP_CREDENTIALS_PATH
step() { printf '\n== %s\n' "$*"; }
show() { sed "s|$folder/||g; s/^/   /" | cut -c1-118; }
broken() { echo "   the demo is broken: $*" >&2; exit 1; }

# start NAME COMMAND…: a server in the background; its address, once it serves.
start() {
    name=$1
    shift
    : >"$folder/$name.err"
    "$@" 2>>"$folder/$name.err" &
    eval "pid_$name=$!"
    pids="$pids $!"
    until address=$(sed -n 's/.* serving .*address=\([0-9.:]*\).*/\1/p' "$folder/$name.err") && [ -n "$address" ]; do
        kill -0 "$!" 2>/dev/null || { cat "$folder/$name.err" >&2; exit 2; }
        sleep 0.1
    done
}
stop() { eval "kill \$pid_$1 && wait \$pid_$1" 2>/dev/null || true; }

step "A log on loopback and three witnesses, of which two must cosign"
vkey=$("$log_server" init --dir "$folder/log" --origin localhost/demo)
echo "$vkey" | show
cp -r "$folder/log" "$folder/fork" && cp "$folder/log.signed" "$folder/fork.signed"
printf 'log %s\n' "$vkey" >"$folder/policy"
for name in w1 w2 w3; do
    # The third signs with ML-DSA-44 only, the others with both kinds of key.
    [ $name = w3 ] && kind='--key-type ml-dsa-44' || kind=
    # shellcheck disable=SC2086
    "$witness" init --dir "$folder/$name" --name $name --log "$vkey" $kind >"$folder/$name.policy"
    start $name "$witness" serve --dir "$folder/$name" --listen 127.0.0.1:0
    sed "/^witness /s|\$| http://$address|" "$folder/$name.policy" >>"$folder/policy"
done
printf 'group two-of-three 2 w1 w2 w3\nquorum two-of-three\n' >>"$folder/policy"
cp "$folder/policy" "$folder/log/policy"
serve_log() {
    start log "$log_server" serve --dir "$folder/$1" --listen "$2" --publish-interval 100ms --witness-timeout 1s --deadline 3s
}
serve_log log 127.0.0.1:0
log=$address
grep -E '^(group|quorum)' "$folder/policy" | show

step "An identity for a pipeline"
did=$("$attest" init --platform demo --username "$(id -un)" 2>/dev/null | sed -n 's/^DID: //p')
echo "$did" | show

step "Real artifacts: these programs and the source they were built from"
cp "$log_server" "$attest" "$folder/dist/"
git archive --format=tar.gz --prefix=aip/ -o "$folder/dist/aip-source.tar.gz" HEAD 2>/dev/null ||
    tar -czf "$folder/dist/aip-source.tar.gz" --exclude=./target --exclude=./.git .
cd "$folder"
sed -i "s|^log .*|& http://$log|" policy
"$attest" policy pin "http://$log" --yes >/dev/null 2>&1
"$attest" sign 'dist/*' --log "http://$log" --receipts receipts 2>/dev/null | show

if unshare -rn true 2>/dev/null; then
    isolated='unshare -rn'
    step "Anyone verifies, here in an empty network namespace"
else
    isolated=
    step "Anyone verifies (the kernel gives no network namespace here; verify opens no socket anyway)"
fi
$isolated "$attest" verify dist/aip-source.tar.gz --receipts receipts --signer "$did" 2>/dev/null | show
verified=$(date +%s)
$isolated "$attest" verify dist --receipts receipts --signer "$did" >/dev/null 2>&1 || broken "the programs do not verify"
"$monitor" --policy policy --dir monitor --once >monitored 2>&1 || broken "the monitor: $(cat monitored)"
echo "and a monitor has read every entry" | show

step "A deploy gate: the organisation vouches for the pipeline, whose own key may vouch for nobody"
HOME=$folder/org "$attest" policy pin "http://$log" --yes >/dev/null 2>&1
HOME=$folder/org "$attest" init --capabilities vouches --register >out 2>/dev/null || broken "no organisation"
org=$(sed -n 's/^DID: //p' out)
gate() { "$attest" gate "$@" --receipts receipts --did "$did" --root "$org" --threshold 0.5 2>/dev/null >out; }
# shut WHY COMMAND…: the gate says no, and this is why; that it could not tell is something else.
shut() {
    why=$1
    shift
    code=0
    gate "$@" || code=$?
    { [ $code = 1 ] && tail -n 1 out | grep -q "^STOP: .*$why"; } || broken "exit $code, not for '$why': $(tail -n 1 out)"
    tail -n 1 out | show
}
shut 'no path of vouches'
HOME=$folder/org "$attest" vouch "$did" --expires 90d >/dev/null 2>&1 || broken "no vouch"
gate dist/aip-source.tar.gz --evidence-out evidence.json || broken "the gate is shut"
tail -n 1 out | show
$isolated "$attest" gate --evidence evidence.json --did "$did" --root "$org" --threshold 0.5 >/dev/null 2>&1 ||
    broken "offline it is not the same"
echo "and the same offline, from evidence in a file" | show

step "A message that nobody else can read triggers the deploy; the receipt that it names decides"
mkdir -p "$folder/deploy"
deploy() { HOME=$folder/deploy "$attest" "$@"; }
deploy policy pin "http://$log" --yes >/dev/null 2>&1
deploy init --register >out 2>/dev/null || broken "no deploy job"
deployer=$(sed -n 's/^DID: //p' out)
"$attest" message "$deployer" "The source archive is built." --receipt "$(ls receipts/dist/aip-source.tar.gz.*)" >out 2>/dev/null ||
    broken "the message was not sent: $(cat out)"
deploy inbox --wait 10s --from "$did" --artifact dist/aip-source.tar.gz --ack >out 2>err || broken "no message: $(cat out err)"
grep -E '^(message|from|  \|)' out | show
gate dist/aip-source.tar.gz || broken "the gate is shut"
tail -n 1 out | show

step "The key is stolen: a thief signs, the monitor tells the owner, the owner takes the DID back"
echo "not the owner's" >thief/loot
AIP_DID=$did AIP_PRIVATE_KEY=$("$attest" key export) HOME=$folder/thief \
    "$attest" sign thief/loot --log "http://$log" --receipts receipts >out 2>/dev/null || broken "the thief cannot sign"
"$monitor" --policy policy --dir monitor --watch-did "$did" --once >alerts 2>/dev/null || broken "the monitor"
grep ' of .*  index ' alerts | tail -n 1 | show
stolen=$(sed -n 's/.*  index \([0-9]*\)  .*/\1/p' alerts | tail -n 1)
gate thief/loot || broken "nobody knows yet"
"$attest" recover --since "$stolen" --recovery "$(ls "$HOME"/aip-recovery-*.json)" >/dev/null 2>&1 || broken "no recovery"
shut later-state thief/loot
gate dist/aip-source.tar.gz || broken "what was signed before the theft is refused"
tail -n 1 out | show

step "One changed byte is refused"
cp dist/aip-source.tar.gz before
for byte in '\001' '\002'; do
    cmp -s before dist/aip-source.tar.gz && printf "$byte" | dd of=dist/aip-source.tar.gz bs=1 seek=1000 conv=notrunc 2>/dev/null
done
$isolated "$attest" verify dist/aip-source.tar.gz --receipts receipts --signer "$did" >out 2>&1 && broken "it was believed"
grep FAILED out | head -n 1 | show

step "One witness stops: two still suffice. A second stops: nothing is published below the quorum"
stop w1
"$attest" sign policy --log "http://$log" --receipts receipts 2>/dev/null | show
stop w3
"$attest" sign monitored --log "http://$log" --receipts receipts --timeout 4s >out 2>&1 && broken "it was published"
grep -E '^(error|  caused by|hint)' out | show

step "The log lies: under the same key it shows another tree"
stop log
serve_log fork 127.0.0.1:0 # its own policy asks no witness
HOME=$folder/other "$attest" init --platform demo --username thief >/dev/null 2>&1
for number in 1 2 3; do echo "not what was logged: $number" >"other/$number"; done
HOME=$folder/other "$attest" sign other/1 other/2 other/3 --log "http://$address" --receipts other >out 2>&1 ||
    broken "the liar's log: $(cat out)"
sed "/^log /s|http://.*|http://$address|" policy >policy.fork
if "$monitor" --policy policy.fork --dir monitor --once >out 2>/dev/null; then broken "the fork was not seen"; fi
head -n 1 out | show
"$attest" inspect --finding "$(ls monitor/findings/*.json | head -n 1)" 2>/dev/null | head -n 2 | show
cd "$root"
printf '\nFrom start to first verified receipt: %s s, of which %s s were the build. Nothing is left running.\n' \
    $((verified - started)) $((built - started))
