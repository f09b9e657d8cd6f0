# The part of run.sh about Python aip 0.5: the unmodified client from its package, every command that it has, against a log of
# ours that serves `--aip-v1`; mail and manifests both ways; and its own action's script, with our program in the place of it.
#
#   AIP_ACTION   its action/action.yml, of the commit below; else it is fetched from GitHub. Without it that check is not run

aip_action_commit=3d8c873139ea6d4db421a57886fcfccc35925fcf
aip_action_sha256=527d53bc7174369d4b8629652791c5b29a98359d1368c5f94910194aa61e0432

check_python_aip() {
    { wanted aip && installed aip python_env aip "$here/python/aip.txt"; } || return 0
    if ! aip_scene >"$work/errors" 2>&1; then
        fail aip "$(tail -n 1 "$work/errors")" "$work/errors"
        return
    fi
    scenes=aip version=$("$cache/aip/bin/python" -c "import importlib.metadata as m; print(m.version('aip-identity'))")
    for part in commands mail manifests flaws; do
        check aip "$version" aip_part $part
    done
    if installed 'aip action' aip_action; then check 'aip action' "$aip_action_commit" aip_part action; fi
}

aip_scene() {
    make_log aip interop.example/aip && serve_log --aip-v1 && attest policy pin "$url" --yes || return 1
    # Under the name that its action calls.
    mkdir "$live/bin" && ln -s "$aip_attest" "$live/bin/aip"
}

# aip_part PART SCENE
aip_part() { "$cache/aip/bin/python" -B "$here/python/drive_aip.py" "$1" "$2" "$cache/aip/bin/aip" "$aip_attest"; }

aip_action() {
    if [ -n "${AIP_ACTION:-}" ]; then cp "$AIP_ACTION" "$live/action.yml" || return 1; else
        curl --proto '=https' -sSfL -o "$live/action.yml" \
            "https://raw.githubusercontent.com/The-Nexus-Guard/aip/$aip_action_commit/action/action.yml" 2>&1 || return 1
    fi
    [ "$(sha256sum <"$live/action.yml" | cut -d ' ' -f 1)" = $aip_action_sha256 ] || { echo 'action.yml is another one' && return 1; }
}
