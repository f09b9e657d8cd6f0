#!/bin/sh
# RocksDB from the sources that librocksdb-sys brings, compiled in units: each includes about thirty of its files, so that
# their common headers are read once and not thirty times (specs/decisions/0015-rocksdb-in-units.md).
#
#     sh build/rocksdb.sh folder   where librocksdb.a is, or will be
#     sh build/rocksdb.sh make     makes it, unless it is there and whole; prints the folder
#     sh build/rocksdb.sh flags    what each file is compiled with, a flag a line
#     sh build/rocksdb.sh units    what each unit includes, a unit a line
#
# Exit code 3, with the reason, where RocksDB is left to cargo: where the flags below are not those that librocksdb-sys would
# choose, and where cargo has compiled it already.
#
#   AIP_CACHE        where the archive is kept (default: $XDG_CACHE_HOME/aip or ~/.cache/aip), if nobody else can write there;
#                    else it is kept where cargo builds
#   CXX, CXXFLAGS    the compiler (default: c++), and flags of yours
#   CARGO_BUILD_JOBS how many units at once (default: one a core)
set -eu
umask 022
from=$(pwd)
here=$(cd "$(dirname "$0")/.." && pwd)
say() { printf '%s\n' "$*" >&2; }
not_here() { say "RocksDB: $*, so cargo compiles it: about 21 CPU minutes, once for each target folder" && exit 3; }

# Fewer would cost less in all (these cost 310 CPU seconds, 343 files one by one 1,260), but leave cores idle, and take more
# memory each: up to 1.2 GB.
count=12
cxx=${CXX:-c++}

# ---- What librocksdb-sys' build.rs and the crate cc choose, for lz4 and zstd. tests/tests/rocksdb.rs asks them.

flags() {
    printf '%s\n' -O2 -ffunction-sections -fdata-sections -fPIC -std=c++20 -include cstdint
    [ "$machine" != x86_64 ] || printf '%s\n' -m64 -march=x86-64 -msse2
    printf '%s\n' -Irocksdb/include/ -Irocksdb/ -Irocksdb/third-party/gtest-1.8.1/fused-src/ "-I$lz4" "-I$zstd" -I.
    printf -- '-D%s\n' LZ4=1 ZSTD=1 NDEBUG=1 HAVE_ALIGNED_NEW HAVE_UINT128_EXTENSION OS_LINUX ROCKSDB_PLATFORM_POSIX \
        ROCKSDB_LIB_IO_POSIX ROCKSDB_SCHED_GETCPU_PRESENT ROCKSDB_AUXV_GETAUXVAL_PRESENT ROCKSDB_FALLOCATE_PRESENT \
        ROCKSDB_RANGESYNC_PRESENT
}

machine=$(uname -m)
case $(uname -s)-$machine in
    Linux-x86_64 | Linux-aarch64) ;;
    *) not_here "its flags are known here for Linux on x86_64 and aarch64 only" ;;
esac
case $(cargo -vV) in
    *"host: $machine-unknown-linux-gnu"*) ;;
    *) not_here "its flags are known here for Rust's $machine-unknown-linux-gnu only" ;;
esac
[ -z "${CARGO_BUILD_TARGET:-}" ] || not_here "CARGO_BUILD_TARGET asks for another target"
[ -z "${ROCKSDB_CXX_STD:-}" ] || not_here "ROCKSDB_CXX_STD asks for another C++"
case ${RUSTFLAGS:-}${CARGO_ENCODED_RUSTFLAGS:-}${CARGO_BUILD_RUSTFLAGS:-} in
    *target-cpu* | *target-feature*) not_here "RUSTFLAGS ask for another processor" ;;
esac
command -v flock >/dev/null || not_here "there is no flock, from util-linux"

# ---- The sources, as cargo has them

metadata=$(cd "$here" && cargo metadata --locked --format-version 1 --filter-platform "$machine-unknown-linux-gnu")
# of_crate NAME: its folder, in the registry or where it was vendored.
of_crate() (
    manifest=$(printf %s "$metadata" | grep -o "\"manifest_path\":\"[^\"]*/$1\(-[0-9][^\"/]*\)\{0,1\}/Cargo.toml\"" | head -n 1)
    folder=$(printf %s "$manifest" | sed 's/^"manifest_path":"//; s|/Cargo.toml"$||')
    [ -d "$folder" ] || { say "error: cargo metadata names no folder of $1" && exit 2; }
    echo "$folder"
)
sources=$(of_crate librocksdb-sys)
# The headers of the very libraries that cargo links; the archive holds none of their code.
lz4=$(of_crate lz4-sys)/liblz4/lib
zstd=$(of_crate zstd-sys)/zstd/lib
target=$(printf %s "$metadata" | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
cd "$sources"

# A unit a line: neighbours in the list, which share most headers; a unit costs what it is long, and its headers.
units() {
    sed 's/[[:space:]]*$//; /^$/d; /^util\/build_version.cc$/d; s|^|rocksdb/|' rocksdb_lib_sources.txt | xargs wc -c |
        awk -v count=$count '$2 == "total" { next } { name[++n] = $2; total += weight[n] = $1 }
            END {
                unit = 1
                for (i = 1; i <= n; i++) {
                    if (sum + weight[i] / 2 > unit * total / count && i > 1) { printf "\n"; unit++ } else if (i > 1) printf " "
                    printf "%s", substr(name[i], 9)
                    sum += weight[i]
                }
                printf "\n"
            }'
    echo build_version.cc
}

# Another library here would have the next cargo by hand compile RocksDB anew.
compiled_by_cargo() {
    latest=$(ls -t "$target"/release/build/librocksdb-sys-*/output 2>/dev/null | head -n 1)
    [ -f "${latest%/output}/out/librocksdb.a" ] && grep -q '=native=.*/librocksdb-sys-[0-9a-f]*/out$' "$latest" &&
        grep -qxF "cargo:cargo_manifest_dir=$sources" "$latest"
}

digest() {
    {
        $cxx --version | head -n 1
        $cxx -dumpmachine
        # Not where the headers are, but what is in them.
        flags | sed "s|$lz4|lz4|; s|$zstd|zstd|"
        echo "${CXXFLAGS:-}"
        units
        find rocksdb build_version.cc -type f \( -name '*.cc' -o -name '*.h' -o -name '*.inc' \) -print | LC_ALL=C sort |
            xargs sha256sum
        cat "$lz4"/*.h "$zstd"/*.h
    } | sha256sum | cut -d ' ' -f 1
}

# ---- Where the archive is kept

# What is linked from here runs as us, so nobody else may be able to write it, nor put another folder in its place.
ours() (
    # A group of one's own is nobody else.
    [ "$(id -gn)" = "$(id -un)" ] && others=002 || others=022
    folder=$1
    [ -z "$(find "$folder" -maxdepth 0 -perm "/$others")" ] || exit 1
    while :; do
        [ -z "$(find "$folder" -maxdepth 0 ! -user "$(id -u)" ! -user 0)" ] &&
            [ -z "$(find "$folder" -maxdepth 0 -perm "/$others" ! -perm -1000)" ] || exit 1
        [ "$folder" != / ] || exit 0
        folder=$(dirname "$folder")
    done
)

cache() (
    folder=${AIP_CACHE:-${XDG_CACHE_HOME:-${HOME:-$target}/.cache}/aip}/rocksdb
    cd "$from"
    if mkdir -p "$folder" 2>/dev/null && [ -w "$folder" ] && folder=$(cd -P "$folder" && pwd) && ours "$folder"; then
        echo "$folder"
        exit
    fi
    say "RocksDB: $folder is not writable by us alone: $target/rocksdb is used"
    mkdir -p "$target/rocksdb" && echo "$target/rocksdb"
)

whole() { [ -d "$1" ] && ours "$1" && (cd "$1" && sha256sum --check --status librocksdb.a.sha256 2>/dev/null); }

# Into a folder of its own, which then gets its name: nobody ever sees a part of it.
make() {
    made=$(mktemp -d "$kept/making.XXXXXX")
    trap 'rm -rf "$made"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    # A file of flags, since folders may have blanks in their names.
    flags | sed 's/.*/"&"/' >"$made/flags"
    units | awk -v folder="$made" '{
        unit = sprintf("%s/%02d.cc", folder, NR)
        for (i = 1; i <= NF; i++) printf "#include \"%s\"\n", $i >unit
        close(unit)
    }'
    all=$(units | wc -l)
    say "RocksDB: $all units, compiled once for this machine"
    export cxx made all
    # cargo's crates go first: they wait for one another, the units for nobody.
    # shellcheck disable=SC2016 # for the inner shell
    seq -f %02g 1 "$all" | xargs -n 1 -P "${CARGO_BUILD_JOBS:-$(nproc)}" nice -n 5 sh -c '
        $cxx "@$made/flags" ${CXXFLAGS:-} -w -c "$made/$0.cc" -o "$made/$0.o" || exit 255
        echo "$0" >>"$made/done"
        echo "RocksDB: $(wc -l <"$made/done") of $all" >&2' 9>&- || { say "error: RocksDB does not compile" && exit 1; }
    (cd "$made" && ar crs librocksdb.a [0-9]*.o && sha256sum librocksdb.a >librocksdb.a.sha256 && rm flags done [0-9]*)
    chmod 755 "$made"
    rm -rf "${kept:?}/$name"
    mv "$made" "$kept/$name"
    # What nobody asked for in a month is of an older compiler or an older RocksDB.
    find "$kept" -mindepth 1 -maxdepth 1 -type d -mtime +30 -exec rm -rf {} +
}

case ${1:-} in
    flags) flags ;;
    units) units ;;
    folder | make)
        if [ "$1" = folder ] && compiled_by_cargo; then
            say "RocksDB: the one that cargo has compiled in $target"
            exit 3
        fi
        name=$(digest)
        kept=$(cache)
        if [ "$1" = make ]; then
            # One at a time: who comes second finds it made.
            exec 9>"$kept/lock"
            flock 9
            if whole "$kept/$name"; then touch "$kept/$name"; else
                [ ! -e "$kept/$name" ] || say "RocksDB: $kept/$name is damaged, and is made again"
                make
            fi
        fi
        echo "$kept/$name"
        ;;
    *) sed -n '5,8s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
esac
