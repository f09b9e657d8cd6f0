# The part of run.sh about messages: what our code seals others open, and what they seal ours opens, 1,000 each way. Every message is
# also opened with one bit flipped, and must then be refused.

check_messages() {
    if [ ! -x "$message_interop" ]; then
        echo "no program $message_interop: cargo build --release -p tests --bins" >"$work/errors"
        fail messages 'not built' "$work/errors"
        return
    fi
    scenes=messages
    if wanted pyhpke && installed pyhpke message_python; then
        check pyhpke "$(message_python_version pyhpke)" both_ways sealed seal open "$cache/messages/bin/python" -B "$here/python/messages.py"
        check pyhpke "$(message_python_version pyhpke)" judged_alike
    fi
    if wanted crypto/hpke && installed crypto/hpke go_build ./messages; then
        check crypto/hpke "$(PATH="$PATH:$cache/go/bin" go env GOVERSION)" both_ways sealed seal open "$cache/bin/messages"
    fi
    if wanted pynacl && installed pynacl message_python; then
        check pynacl "$(message_python_version pynacl)" both_ways boxed box unbox "$cache/messages/bin/python" -B "$here/python/messages.py"
    fi
}

message_python() { python_env messages "$here/python/messages.txt"; }
message_python_version() { "$cache/messages/bin/python" -c "import importlib.metadata as m; print(m.version('$1'))"; }

# Statements that were mutated, and judged by the rules of specs/message.md in Python. Another seed each day.
judged_alike() {
    seed=$(date +%Y%m%d)
    limited "$cache/messages/bin/python" -B "$here/python/messages.py" mutate "$seed" >"$work/mutated.jsonl" || return 1
    judged=$(limited "$message_interop" judge <"$work/mutated.jsonl") || return 1
    echo "$(grep -c . "$work/mutated.jsonl") statements mutated (seed $seed) and judged alike: $judged"
}

# both_ways DONE SEAL OPEN COMMAND...: the last word is the scene, which is not needed.
both_ways() {
    how=$1 seal=$2 open=$3 && shift 3
    others=''
    while [ $# -gt 1 ]; do others="$others $1" && shift; done
    # shellcheck disable=SC2086 # a command and its flags, in folders of ours
    limited "$message_interop" "$seal" >"$work/ours.jsonl" && limited $others "$open" <"$work/ours.jsonl" || return 1
    # shellcheck disable=SC2086
    limited $others "$seal" >"$work/theirs.jsonl" && limited "$message_interop" "$open" <"$work/theirs.jsonl" || return 1
    echo "$(grep -c . "$work/ours.jsonl") $how by ours and opened by it, $(grep -c . "$work/theirs.jsonl") the other way; each altered one refused"
}
