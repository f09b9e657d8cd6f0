# What every page may use: functions in the place of programs that need root or an account, and short ways to set up a story.

runuser() { shift 3; "$@"; }
install() { mkdir -p "${@: -1}"; }
gh() { cat >/dev/null; } # takes a secret or a variable, as an account would

# A log at 127.0.0.1:8080, pinned, and an identity that is registered in it.
a_log() {
    mkdir -p /var/lib/aip-log
    log-server init --dir /var/lib/aip-log/log --origin log.example.com/pipelines --url https://log.example.com || return
    serve_log
}
serve_log() {
    log-server serve --dir /var/lib/aip-log/log --listen 127.0.0.1:8080 2>>log.txt &
    served=$!
    page_wait 127.0.0.1:8080
}
stop_log() { kill "$served"; wait "$served"; true; }
an_identity() {
    aip policy pin https://log.example.com --yes
    aip init --register
    DID=$(aip whoami --offline | sed -n 's/^DID: //p')
}

# In the middle of a file.
flip_a_bit() {
    python3 - "$1" <<'FLIP'
import sys
with open(sys.argv[1], "r+b") as file:
    data = file.read()
    file.seek(len(data) // 2)
    file.write(bytes([data[len(data) // 2] ^ 1]))
FLIP
}
