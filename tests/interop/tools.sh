# Tools of others, for run.sh and bench/bench.sh: each pinned by a file here, kept in $cache, a folder outside the checkout.
# Read by a shell that sets $cache, and $interop, the folder of this file.

# python_env NAME REQUIREMENTS: a virtual environment, made anew when its requirements change.
python_env() {
    cmp -s "$2" "$cache/$1/requirements.txt" && return 0
    rm -rf "${cache:?}/$1"
    python3 -m venv "$cache/$1" &&
        nice -n 10 "$cache/$1/bin/pip" install --quiet --require-hashes -r "$2" &&
        cp "$2" "$cache/$1/requirements.txt"
}

# The Go that torchwood needs is newer than most systems'.
newer_go() { python_env go "$interop/go/torchwood/requirements.txt"; }
go_build() {
    command -v go >/dev/null || newer_go || return 1
    (cd "$interop/go" && PATH="$PATH:$cache/go/bin" nice -n 10 go build -buildvcs=false -o "$cache/bin/" "$1")
}
newer_go_build() {
    newer_go && (cd "$interop/go/torchwood" && export PATH="$cache/go/bin:$PATH" GOTOOLCHAIN=local &&
        nice -n 10 go build -buildvcs=false -o "$cache/bin/" "$1")
}

# litewitness keeps its key in an ssh-agent.
litewitness_build() {
    command -v ssh-agent >/dev/null || { echo 'there is no ssh-agent' && return 1; }
    newer_go_build filippo.io/torchwood/cmd/litewitness
}

# The system's own, else its package unpacked: installing it would start a server.
nginx=$(command -v nginx || echo "$cache/nginx/usr/sbin/nginx")
get_nginx() (
    [ ! -x "$nginx" ] || return 0
    command -v apt-get >/dev/null || { echo 'there is no nginx, and no apt-get to get it by'; return 1; }
    rm -rf "$cache/nginx" && mkdir "$cache/nginx" && cd "$cache/nginx" || return 1
    # Where nginx-light is a program of its own, `nginx` is not one; elsewhere it is the other way round.
    for package in nginx nginx-light; do
        { apt-get download "$package" || { apt-get update && apt-get download "$package"; }; } &&
            dpkg-deb -x "$package"_*.deb .
        [ ! -x "$nginx" ] || return 0
    done
    echo 'no package has /usr/sbin/nginx'
    return 1
)
