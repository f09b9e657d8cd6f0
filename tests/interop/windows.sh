# The part of run.sh about Windows: our command line is built for it with mingw, run by wine against a log of ours, and what
# it makes is read by the one of this system, and the other way round. Both work in one folder.
#
# wine is no Windows. It shows what our code does with Windows's paths, names, locks and renames; access rights, links and
# power cuts are not shown.

windows_target=x86_64-pc-windows-gnu
windows_exe=${AIP_ATTEST_EXE:-${CARGO_TARGET_DIR:-$here/../../target}/$windows_target/release/aip-attest.exe}

# Installs nothing: `./run interop windows` does.
windows_tools() {
    for tool in wine x86_64-w64-mingw32-gcc rustup; do
        command -v $tool >/dev/null || { echo "there is no $tool; \`./run interop windows\` installs what it needs" && return 1; }
    done
    rustup target list --installed | grep -q "^$windows_target$" ||
        { echo "rustup has no target $windows_target; \`./run interop windows\` adds it" && return 1; }
}

windows_build() {
    [ -n "${AIP_ATTEST_EXE:-}" ] || (cd "$here/../.." && nice -n 10 cargo build --quiet --release --locked -p aip-attest \
        --target $windows_target)
}

check_windows() {
    { wanted windows && installed windows windows_tools && installed windows windows_build; } || return 0
    if ! windows_scene >"$work/errors" 2>&1; then
        fail windows "$(tail -n 1 "$work/errors")" "$work/errors"
        return
    fi
    scenes=windows version="with $(wine --version 2>/dev/null)"
    for part in identity arguments exchange receipts odd_names checksums policy keys passphrase at_once own_tests; do
        check windows "$version" windows_part $part
    done
    on_windows wineserver -k 2>/dev/null
}

# A log, a Windows of its own, and an identity that is registered.
windows_scene() {
    make_log windows interop.example/windows && serve_log || return 1
    mkdir "$live/bin" && cp "$windows_exe" "$live/bin/" || return 1
    # wine 8 lacks this part of Windows, which only hands random bytes of the system on.
    printf '%s\n' 'unsigned char __stdcall SystemFunction036(void *, unsigned long);' \
        '__declspec(dllexport) int __stdcall ProcessPrng(unsigned char *bytes, unsigned long long length) {' \
        '    return SystemFunction036(bytes, (unsigned long)length); }' >"$live/prng.c"
    x86_64-w64-mingw32-gcc -shared -O1 -o "$live/bin/bcryptprimitives.dll" "$live/prng.c" -ladvapi32 || return 1
    WINEDLLOVERRIDES='mscoree=;mshtml=' on_windows wineboot -i >"$live/wineboot" 2>&1 ||
        { echo "wine makes no Windows: $(tail -n 1 "$live/wineboot")" && return 1; }
    profile=$(echo "$live"/wine/drive_c/users/*/AppData | sed 's|/AppData||')
    [ -d "$profile" ] || { echo "wine made no user: $profile" && return 1; }
    win init --json >"$live/init.json" 2>"$live/init.err" && win policy pin "$url" --yes && win init --register || return 1
    windows_did=$(json_at did <"$live/init.json")
    attest init --json >"$live/linux.json" && attest policy pin "$url" --yes && attest init --register || return 1
    linux_did=$(json_at did <"$live/linux.json")
}

# on_windows PROGRAM ARGUMENT...: in the folder of the artifacts, which wine calls Z:\…\artifacts.
on_windows() {
    (cd "$live/artifacts" && limited env -i PATH="$PATH" HOME="$live/home" LC_ALL=C.UTF-8 WINEPREFIX="$live/wine" WINEDEBUG=-all \
        ${WINEDLLOVERRIDES:+WINEDLLOVERRIDES="$WINEDLLOVERRIDES"} "$@")
}
win() { on_windows wine "$live/bin/aip-attest.exe" "$@"; }
# win_set 'NAME=VALUE' ARGUMENTS: by cmd, as a user there types it. wine sets HOME and USERPROFILE itself, whatever is in
# the environment here.
win_set() { on_windows wine cmd /c "set $1&& $(z "$live")\\bin\\aip-attest.exe $2" | tr -d '\r'; }
# twice COMMAND...: two at once, both of which must succeed.
twice() {
    "$@" >"$live/both.1" 2>"$live/err.1" & first=$!
    "$@" >"$live/both.2" 2>"$live/err.2" & second=$!
    wait $first; ended=$?
    wait $second && [ $ended -eq 0 ] || { cat "$live"/err.[12] >&2; echo "one of two $*" >&2; return 1; }
}
# z PATH: as Windows calls it.
z() { echo "Z:$1" | tr / '\\'; }

json_at() { python3 -c 'import json, sys; v = json.load(sys.stdin)
for k in sys.argv[1].split("."): v = v[int(k)] if isinstance(v, list) else v[k]
print(v)' "$1"; }

# The subjects of a receipt, a name a line.
subjects() {
    python3 -c 'import base64, json, sys
for path in sys.argv[1:]:
    payload = json.load(open(path))["envelope"]["payload"]
    for subject in json.loads(base64.b64decode(payload))["subject"]: print(subject["name"])' "$@"
}

# same WHAT GOT WANT
same() { [ "$2" = "$3" ] || { printf '%s is not right: got\n%s\nwanted\n%s\n' "$1" "$2" "$3" | sed 's/^/  /' >&2; echo "$1 is not right" >&2; return 1; }; }
# refuses CODE WORDS COMMAND...: it ends with this code and says so.
refuses() {
    code=$1 words=$2 && shift 2
    "$@" >"$live/refused" 2>&1
    same "the exit code of $*" $? "$code" || return 1
    grep -qF -- "$words" "$live/refused" || { cat "$live/refused" >&2; echo "$* does not say: $words" >&2; return 1; }
}
# fresh FILE...: artifacts of their own content, in a folder that had none.
fresh() { for file; do mkdir -p "$(dirname "$live/artifacts/$file")" && echo "content of $file" >"$live/artifacts/$file" || return 1; done; }
folder() { rm -rf "$live/artifacts/$1" && mkdir -p "$live/artifacts/$1"; }

# What our programs print is kept apart from what was checked, the last line.
windows_part() { "windows_$1" >"$work/part" && tail -n 1 "$work/part"; }

# ---- What is checked, in the folder $live

windows_identity() {
    home='C:\users\'$(basename "$profile")
    credentials=$(json_at credentials <"$live/init.json")
    same 'the place of the credentials' "$credentials" "$home\\.aip\\credentials.json" &&
        same 'the place of the recovery key' "$(json_at recoveryKey <"$live/init.json" | tr -d '/')" \
            "$home\\aip-recovery-${windows_did#did:aip:}.json" &&
        same 'who it is' "$(win whoami --json | json_at did)" "$windows_did" || return 1
    # A Unix shell's HOME is not where the other shells look; without a profile it is.
    other=$(z "$live/other") && mkdir -p "$live/other" || return 1
    same 'whoami with HOME set' "$(win_set "HOME=$other" 'whoami --json' | json_at did)" "$windows_did" &&
        same 'init with USERPROFILE set' "$(win_set "USERPROFILE=$other" 'init --json' | json_at credentials)" \
            "$other\\.aip\\credentials.json" || return 1
    win_set "AIP_CREDENTIALS_PATH=Z:$live/keys/c.json" 'init --json' >"$live/elsewhere.json" 2>"$live/elsewhere.err"
    same 'a path that was named with slashes' "$(json_at credentials <"$live/elsewhere.json")" "$(z "$live")\\keys\\c.json" || return 1
    grep -q "whoever may read the folder" "$live/elsewhere.err" && grep -q icacls "$live/elsewhere.err" ||
        { cat "$live/elsewhere.err" >&2; echo 'a key outside of the profile is made without a warning' >&2; return 1; }
    ! grep -q "whoever may read" "$live/init.err" || { echo 'a key in the profile is warned of' >&2; return 1; }
    echo "made, found, pinned and registered; %USERPROFILE% before HOME; one spelling of every path; outside of the profile warned"
}

# signs WANTED-SUBJECTS ARGUMENT...: with receipts in a fresh folder; the names are those.
signs() {
    wanted=$1 && shift
    folder out && win sign "$@" --no-log --receipts out >"$live/signed" 2>"$live/signed.err" || { cat "$live/signed.err" >&2; return 1; }
    same "the names of $*" "$(subjects $(find "$live/artifacts/out" -type f) | sort | xargs)" "$wanted"
}

windows_arguments() {
    folder dist && fresh dist/a dist/App.EXE dist/x.pdb 'dist/[b]' dist/sub/deep/c || return 1
    drive=$(z "$live/artifacts") all='App.EXE [b] a sub/deep/c x.pdb'
    signs "$all" 'dist\*' && signs "$all" 'dist\' && signs "$all" dist && signs "$all" 'dist\**\*' &&
        signs 'sub/deep/c' 'dist\**\c' && signs 'sub/deep/c' "$drive\\dist\\**\\c" && signs 'App.EXE' 'dist/*.exe' &&
        signs '[b]' 'dist\[[]b]' && signs '[b]' 'dist\[b]' &&
        signs 'a' 'dist\a' && signs 'a' '.\dist/a' && signs 'a' "$drive\\dist\\a" && signs 'App.EXE' 'dist\APP.exe' &&
        signs 'a' 'dist\a.' && signs 'App.EXE [b] a' dist --exclude '*.PDB' --exclude 'dist\sub' || return 1
    refuses 2 'the quotes are part of the name' win sign "'dist/*'" --no-log &&
        refuses 2 'nothing matches' win sign 'dist\*.dll' --no-log &&
        refuses 2 'there is no file' win sign 'dist\b' --no-log || return 1
    echo 'dist\*, dist\a, drives, [[], letters of either case, app. as app; names with /; quotes of cmd and what is not there refused'
}

# verifies PROGRAM DID ARGUMENT...
verifies() { program=$1 signer=$2 && shift 2 && $program verify "$@" --signer "$signer" --policy ../policy; }

windows_exchange() {
    folder ex && fresh ex/there ex/here ex/private || return 1
    echo '{"bomFormat":"CycloneDX","specVersion":"1.6"}' >"$live/artifacts/bom.json"
    win sign 'ex\there' --log "$url" && win sign 'ex\private' --private --log "$url" && attest sign ex/here --log "$url" &&
        win sign 'ex\there' --predicate-type cyclonedx --predicate bom.json --log "$url" || return 1
    verifies attest "$windows_did" ex/there ex/private && verifies win "$linux_did" 'ex\here' && verifies win "$windows_did" 'ex/there' &&
        verifies attest "$windows_did" ex/there --predicate-type cyclonedx || return 1
    for file in there here; do echo altered >>"$live/artifacts/ex/$file"; done
    refuses 1 '' verifies attest "$windows_did" ex/there && refuses 1 '' verifies win "$linux_did" 'ex\here' || return 1
    # What the log has is had there too.
    echo "content of ex/there" >"$live/artifacts/ex/there" && rm "$live/artifacts/ex/there.receipt.json" &&
        win fetch 'ex\there' --log "$url" --signer "$windows_did" --predicate-type https://slsa.dev/provenance/v1 &&
        verifies attest "$windows_did" ex/there || return 1
    echo 'provenance, private and SBOM receipts made there verify here, and ours there; fetched there too; altered files refused on both'
}

windows_receipts() {
    folder re && rm -rf "$live/artifacts/r" && fresh re/a re/sub/b re/sub/c || return 1
    win sign 're\sub\b' 're\a' --log "$url" --receipts 'r' && attest sign re/sub/c --log "$url" --receipts r || return 1
    verifies attest "$windows_did" re/a re/sub/b --receipts r && verifies win "$linux_did" 're\sub\c' --receipts r || return 1
    same 'the folder of receipts' "$(cd "$live/artifacts/r" && find . -type f | sed 's/\.[0-9a-f]\{16\}\././' | sort | xargs)" \
        './re/a.receipt.json ./re/sub/b.receipt.json ./re/sub/c.receipt.json' || return 1
    # A file that was moved has its receipt by its digest, and only under the name that it was signed by.
    mkdir -p "$live/artifacts/re/moved" && mv "$live/artifacts/re/sub/b" "$live/artifacts/re/moved/b" &&
        verifies win "$windows_did" 're\moved\b' --receipts r && mv "$live/artifacts/re/moved/b" "$live/artifacts/re/moved/other" &&
        refuses 2 '' verifies win "$windows_did" 're\moved\other' --receipts r || return 1
    echo 'one folder of receipts for both systems; a moved file is found by its digest, under another name it is not'
}

windows_odd_names() {
    folder odd && hex=$(printf x | sha256sum | cut -c1-64) || return 1
    for subject in CON aux.js 'nul .txt' app:1.2 'a b&c' é.whl; do
        win sign --subject "odd/$subject@sha256:$hex" --log "$url" && verifies win "$windows_did" "odd/$subject@sha256:$hex" &&
            verifies attest "$windows_did" "odd/$subject@sha256:$hex" || { echo "$subject" >&2; return 1; }
    done
    # Folders that Windows cannot have. In a folder of receipts they are called the same everywhere.
    for subject in com1.tar/x lib./app localhost:5000/app; do
        win sign --subject "odd/$subject@sha256:$hex" --log "$url" && verifies win "$windows_did" "odd/$subject@sha256:$hex" &&
            attest sign --subject "odd/$subject@sha256:$hex" --log "$url" --receipts odd-r &&
            win sign --subject "odd/$subject@sha256:$hex" --log "$url" --receipts odd-r &&
            verifies win "$linux_did" "odd/$subject@sha256:$hex" --receipts odd-r &&
            verifies attest "$windows_did" "odd/$subject@sha256:$hex" --receipts odd-r || { echo "$subject" >&2; return 1; }
    done
    same 'the names of the receipts' "$(cd "$live/artifacts/odd" && find . -type f | LC_ALL=C sort | xargs -d '\n' printf '%s|')" \
        './%43ON.receipt.json|./%61ux.js.receipt.json|./%63om1.tar/x.receipt.json|./%6Eul .txt.receipt.json|./a b&c.receipt.json|./app%3A1.2.receipt.json|./lib%2E/app.receipt.json|./localhost%3A5000/app.receipt.json|./é.whl.receipt.json|' || return 1
    # A path of more than 260 characters, the longest name of the oldest functions.
    long=odd && for _ in 1 2 3 4 5 6 7 8; do long=$long/a-folder-with-a-name-of-forty-characters; done
    fresh "$long/app" && win sign "$(echo $long/app | tr / '\\')" --log "$url" && verifies win "$windows_did" $long/app &&
        verifies attest "$windows_did" $long/app && win sign 'odd\**\app' --no-log --receipts "$(echo $long/r | tr / '\\')" || return 1
    refuses 2 'leads out of its folder' win sign --subject "C:\\app@sha256:$hex" --no-log &&
        refuses 2 'leads out of its folder' win sign --subject "..\\app@sha256:$hex" --no-log &&
        refuses 2 'cannot' win sign CON --no-log || return 1
    echo "CON, aux.js, a trailing dot, a colon, a port, é, $(printf %s "$live/artifacts/$long/app" | wc -c) characters: signed there, verified on both; what leads out is refused"
}

windows_checksums() {
    folder sums && fresh sums/amd64/app.exe sums/lib || return 1
    printf '\357\273\277%s *amd64\\app.exe\r\n%s  .\\lib\r\n' $(cd "$live/artifacts/sums" && sha256sum amd64/app.exe lib | cut -c1-64) \
        >"$live/artifacts/sums/SHA256SUMS"
    win sign --checksums 'sums\SHA256SUMS' --log "$url" && verifies attest "$windows_did" sums/amd64/app.exe sums/lib &&
        verifies win "$windows_did" 'sums\*\app.exe' 'sums\lib' || return 1
    same 'the names' "$(subjects "$live"/artifacts/sums/amd64/app.exe.receipt.json "$live"/artifacts/sums/lib.receipt.json | xargs)" \
        'amd64/app.exe lib' || return 1
    python3 -c 'import sys; p = sys.argv[1]; t = open(p, encoding="utf-8-sig").read(); open(p, "w", encoding="utf-16").write(t)' \
        "$live/artifacts/sums/SHA256SUMS"
    refuses 2 'PowerShell' win sign --checksums 'sums\SHA256SUMS' --no-log || return 1
    echo 'a list with CRLF, a byte order mark and \ is signed and verified by names with /; UTF-16 is refused, naming PowerShell'
}

windows_policy() {
    folder pol && fresh pol/app && win sign 'pol\app' --log "$url" || return 1
    policy="$live/artifacts/pol/policy"
    sed 's/$/\r/' "$live/policy" >"$policy"
    refuses 2 'git' win verify 'pol\app' --any-signer --policy 'pol\policy' && grep -q gitattributes "$live/refused" &&
        grep -qi powershell "$live/refused" || { cat "$live/refused" >&2; return 1; }
    { printf '\357\273\277' && cat "$live/policy"; } >"$policy"
    refuses 2 'byte order mark' win verify 'pol\app' --any-signer --policy 'pol\policy' || return 1
    { printf '\377\376' && iconv -f UTF-8 -t UTF-16LE "$live/policy"; } >"$policy"
    refuses 2 'PowerShell' win verify 'pol\app' --any-signer --policy 'pol\policy' || return 1
    # What cmd's > writes is what was pinned.
    win_set X=1 'policy show interop.example/windows > pol\policy' && cmp "$policy" "$live/policy" &&
        win verify 'pol\app' --any-signer --policy 'pol\policy' || return 1
    # A receipt that git gave CRLF says the same.
    sed 's/$/\r/' -i "$live/artifacts/pol/app.receipt.json" && win verify 'pol\app' --any-signer --policy 'pol\policy' || return 1
    echo 'CRLF, a byte order mark and UTF-16 are refused by name with what to do; `policy show >` writes what was pinned'
}

windows_keys() {
    folder keys && fresh keys/before keys/after || return 1
    win sign 'keys\before' --log "$url" && win trust "$windows_did" --log "$url" --root "$windows_did" --threshold 0.5 >"$live/trust" &&
        win gate 'keys\before' --did "$windows_did" --log "$url" --root "$windows_did" --threshold 0.5 --sync &&
        cp "$profile/.aip/credentials.json" "$live/old.json" && win rotate-key --log "$url" || return 1
    win sign 'keys\after' --log "$url" && win gate 'keys\after' --did "$windows_did" --log "$url" --root "$windows_did" --threshold 0.5 --sync &&
        attest gate keys/after --did "$windows_did" --log "$url" --root "$windows_did" --threshold 0.5 &&
        verifies win "$windows_did" 'keys\before' 'keys\after' || return 1
    fresh keys/thief && win_set "AIP_CREDENTIALS_PATH=$(z "$live/old.json")" "sign keys\\thief --log $url" >"$live/thief" 2>&1
    refuses 1 '' verifies win "$windows_did" 'keys\thief' || refuses 2 '' verifies win "$windows_did" 'keys\thief' || return 1
    cp "$live/artifacts/keys/after" "$live/artifacts/keys/other" &&
        cp "$live/artifacts/keys/after.receipt.json" "$live/artifacts/keys/other.receipt.json" &&
        refuses 1 '--any-name' win gate 'keys\other' --did "$windows_did" --log "$url" --root "$windows_did" --threshold 0.5 || return 1
    refuses 1 '' win gate 'keys\after' --did "$linux_did" --log "$url" --root "$windows_did" --threshold 0.5 || return 1
    same 'what a private key file says' "$(ls "$profile/.aip" | grep -c 'aip-tmp')" 0 || return 1
    echo 'trust, gate (log asked and read whole), rotate-key; the key before, a file under another name and a DID without a path are refused'
}

windows_passphrase() {
    # The é is taken back: a key is a character, not a byte.
    locked="AIP_CREDENTIALS_PATH=Z:$live/locked/c.json"
    on_windows env "$locked" python3 "$here/python/typed.py" \
        wine "$live/bin/aip-attest.exe" init --encrypt --recovery-out "Z:$live/locked/r.json" \
        -- 'new passphrase' "$(printf 'p\303\251\177\303\244\303\237')" 'once more' "$(printf 'p\303\244\303\237')" >"$live/typed" ||
        { cat "$live/typed" >&2; return 1; }
    ! grep -q "$(printf 'p\303\244')" "$live/typed" || { echo 'the passphrase is shown' >&2; return 1; }
    export_key() { on_windows env "$locked" "$@" wine "$live/bin/aip-attest.exe" key export </dev/null; }
    export_key AIP_PASSPHRASE="$(printf 'p\303\244\303\237')" && refuses 2 'the passphrase does not open it' export_key AIP_PASSPHRASE=other &&
        refuses 2 'set AIP_PASSPHRASE' export_key || return 1
    echo 'a passphrase is typed at the console, unseen, and opens the key; another one does not'
}

windows_at_once() {
    folder once && fresh once/app || return 1
    # Two identities for one place: one is made, and both say which. Two receipts for one place: both stay. Two rotations:
    # each takes its turn.
    mkdir -p "$live/two" && twice win_set "USERPROFILE=$(z "$live/two")" 'init --json' &&
        same 'the identities that two made' "$(json_at did <"$live/both.1")" "$(json_at did <"$live/both.2")" || return 1
    attest sign once/app --log "$url" & ours=$!
    win sign 'once\app' --log "$url" && wait $ours &&
        same 'receipts of two at once' "$(ls "$live/artifacts/once" | grep -c 'receipt.json$')" 2 &&
        verifies attest "$windows_did" once/app && verifies win "$linux_did" 'once\app' &&
        twice win rotate-key --log "$url" || return 1
    fresh once/after && win sign 'once\after' --log "$url" && verifies attest "$windows_did" once/after || return 1
    echo 'two at once: init makes one identity, sign here and there for one file keeps both receipts, rotate-key takes turns (keys.lock)'
}

windows_own_tests() {
    (cd "$here/../.." && export WINEPREFIX="$live/wine" WINEDEBUG=-all WINEPATH="$(z "$live/bin")" CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER=wine &&
        timeout 900 nice -n 10 cargo test --quiet --release --locked -p aip-attest --lib \
        --target $windows_target) >"$live/own" 2>&1 || { tail -n 30 "$live/own" >&2; return 1; }
    grep -E '^test result' "$live/own" | tail -n 1 | sed 's/^test result: ok. /the tests of the library: /; s/;.*//'
}
