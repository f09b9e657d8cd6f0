# The demo, read by ./run: one log, one pipeline, real artifacts, a receipt that anyone verifies offline.

started=$(date +%s)
build -p log-server -p aip-attest
log_server=$target/release/log-server
attest=$target/release/aip-attest
folder=$(mktemp -d)
server=
finish() {
    [ -z "$server" ] || { kill "$server" 2>/dev/null && wait "$server" 2>/dev/null; }
    rm -rf "$folder"
}
trap finish EXIT
trap 'exit 130' INT TERM

# Its own home: nothing of yours is read or written.
HOME=$folder/home
mkdir -p "$HOME" "$folder/dist"
unset AIP_DID AIP_PRIVATE_KEY AIP_LOG_URL AIP_POLICY AIP_CREDENTIALS_PATH
step() { printf '\n== %s\n' "$*"; }
show() { sed "s|$folder/||g; s/^/   /"; }

step "A log on loopback, in a temporary folder"
vkey=$("$log_server" init --dir "$folder/log" --origin localhost/demo)
echo "   $vkey"
"$log_server" serve --dir "$folder/log" --listen 127.0.0.1:0 2>"$folder/log.err" &
server=$!
until url=$(sed -n 's|.* serving .*address=\([0-9.:]*\).*|http://\1|p' "$folder/log.err") && [ -n "$url" ]; do
    kill -0 "$server" 2>/dev/null || { cat "$folder/log.err" >&2; exit 2; }
    sleep 0.1
done

step "An identity for a pipeline"
did=$("$attest" init --platform demo --username "$(id -un)" 2>/dev/null | sed -n 's/^DID: //p')
echo "   $did"

step "Real artifacts: these programs and the source they were built from"
cp "$log_server" "$attest" "$folder/dist/"
git archive --format=tar.gz --prefix=aip/ -o "$folder/dist/aip-source.tar.gz" HEAD 2>/dev/null ||
    tar -czf "$folder/dist/aip-source.tar.gz" --exclude=./target --exclude=./.git .
cd "$folder"
"$attest" policy pin "$url" --yes >/dev/null 2>&1
"$attest" sign 'dist/*' --log "$url" --receipts receipts 2>/dev/null | cut -c1-110 | show

step "The log stops; anyone verifies, without a network"
kill "$server" && wait "$server" && server=
if unshare -rn true 2>/dev/null; then
    isolated='unshare -rn'
    echo "   in an empty network namespace:"
else
    isolated=
    echo "   (the kernel gives no network namespace here; verify opens no socket anyway)"
fi
$isolated "$attest" verify dist/aip-source.tar.gz --receipts receipts --signer "$did" 2>/dev/null | show
verified=$(date +%s)
$isolated "$attest" verify dist --receipts receipts --signer "$did" >/dev/null 2>&1 && echo "   and the programs too"

step "One changed byte is refused"
cp dist/aip-source.tar.gz before
for byte in '\001' '\002'; do
    cmp -s before dist/aip-source.tar.gz && printf "$byte" | dd of=dist/aip-source.tar.gz bs=1 seek=1000 conv=notrunc 2>/dev/null
done
if $isolated "$attest" verify dist/aip-source.tar.gz --receipts receipts --signer "$did" >out 2>&1; then
    echo "   the demo is broken: a changed artifact was believed" >&2
    exit 1
fi
grep FAILED out | head -n 1 | cut -c1-100 | show
cd "$root"
printf '\nFrom start to first verified receipt: %s s. Nothing is left running.\n' $((verified - started))
