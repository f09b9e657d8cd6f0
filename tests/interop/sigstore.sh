# The part of run.sh about Sigstore: our export, as stock cosign and two libraries see it, and as `verify --bundle` does. What each
# has to say of each alteration stands in python/sigstore_bundles.py.

check_sigstore() {
    if wanted aip-verify || wanted sigstore-verify || wanted @sigstore/verify || wanted cosign; then
        check 'aip-attest export' "$("$aip_attest" --version | cut -d' ' -f2)" export_bundles
    else
        return
    fi
    network=''
    if wanted aip-verify; then
        check 'aip-attest verify --bundle' "$("$aip_attest" --version | cut -d' ' -f2)" by_table ours aip_verify
    fi
    if wanted aip-verify; then others_bundles; fi
    if wanted sigstore-verify && installed sigstore-verify rust_build verify_bundle; then
        check sigstore-verify "$(crate_version sigstore-verify)" "$cache/rust/debug/verify_bundle"
    fi
    if wanted @sigstore/verify && installed @sigstore/verify node_modules; then
        check @sigstore/verify "$(sed -n 's/.*"@sigstore\/verify": "\(.*\)".*/\1/p' "$here/node/package.json")" \
            node "$cache/node/verify_bundle.mjs"
    fi
    if wanted cosign && installed cosign cosign_install; then
        cut_network
        check cosign "$(module_version cosign "$cosign_module")" by_table cosign stock_cosign
    fi
}

export_bundles() {
    [ -d "$1/sigstore" ] || python3 -B "$here/python/sigstore_bundles.py" "$aip_attest" "$1"
}

# by_table PROGRAM COMMAND SCENE: the command gets folder, bundle, trusted root, artifact and type.
by_table() {
    accepted=0 refused=0
    for case in "$3"/sigstore/*; do
        while IFS="$(printf '\t')" read -r want bundle root artifact kind; do
            if "$2" "$case" "$bundle" "$root" "$artifact" "$kind" >"$work/said" 2>&1; then got=accept; else got=refuse; fi
            if [ "$got" != "$want" ]; then
                cat "$work/said" >&2
                echo "$(basename "$case"): $bundle under $root, $artifact, type '$kind': $got, not $want" >&2
                return 1
            fi
            [ $got = accept ] && accepted=$((accepted + 1)) || refused=$((refused + 1))
        done <"$case/table.$1"
    done
    [ $accepted -gt 0 ] && [ $refused -gt 0 ] || { echo 'nothing was checked' >&2 && return 1; }
    echo "$accepted accepted, $refused refused, as the table says${network:+, $network}; $(cat "$3/sigstore_differs.$1")"
}

# Exit code 2, could not check, would be a hole in the table.
aip_verify() {
    (cd "$1" && limited env -i PATH="$PATH" HOME="$work" "$aip_attest" verify "$4" --bundle "$2" --trusted-root "$3" --key key.pub \
        --predicate-type "$5" --allow-unwitnessed)
    code=$?
    [ $code -ne 2 ] || { cat "$work/said" >&2 && echo "$2: could not be checked" >&2 && exit 1; }
    return $code
}

# others_verify BUNDLE KEY ROOT
others_verify() {
    limited env -i PATH="$PATH" HOME="$work" "$aip_attest" verify "$folder/artifact.bin" --bundle "$1" \
        --trusted-root "$folder/$3.json" --key "$folder/$2" --allow-unwitnessed >"$work/errors" 2>&1
}

# Bundles that were made elsewhere, and that Sigstore's programs took.
others_bundles() {
    name="aip-attest verify --bundle $("$aip_attest" --version | cut -d' ' -f2)"
    folder=${AIP_VECTORS:-}/sigstore
    [ -d "$folder" ] || { not_run "$name" 'AIP_VECTORS names no folder with sigstore/' && return; }
    for bundle in "A_ec_dsse_hr2pae ec.pub trusted_root" "E_ed_dsse_v1dsse ed.pub trusted_root" \
        "entry_bundle entry_key.pub entry_trusted_root"; do
        # shellcheck disable=SC2086 # three words
        set -- $bundle
        # A bit of the root hash: it stands in the proof and in the checkpoint.
        python3 - "$folder/$1.json" "$work/altered.json" <<'ALTER' || return
import json, sys
bundle = json.load(open(sys.argv[1]))
proof = bundle["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]
other = ("A" if proof["rootHash"][0] != "A" else "B") + proof["rootHash"][1:]
proof["checkpoint"]["envelope"] = proof["checkpoint"]["envelope"].replace(proof["rootHash"], other)
proof["rootHash"] = other
json.dump(bundle, open(sys.argv[2], "w"))
ALTER
        if ! others_verify "$folder/$1.json" "$2" "$3"; then
            fail "$name" "$1 was refused" "$work/errors"
        elif others_verify "$work/altered.json" "$2" "$3"; then
            fail "$name" "$1 with another root was accepted" "$work/errors"
        else
            pass "$name" "$1, made elsewhere, accepted; with another root refused"
        fi
    done
}

stock_cosign() {
    mkdir -p "$work/cosign-home"
    # shellcheck disable=SC2086 # a command and its flag
    (cd "$1" && HOME="$work/cosign-home" limited $offline "$cache/bin/cosign" verify-blob-attestation --key key.pub --bundle "$2" \
        --trusted-root "$3" ${5:+--type "$5"} "$4")
}

cosign_module=github.com/sigstore/cosign/v3
cosign_version=v3.1.3
cosign_install() {
    [ "$(module_version cosign "$cosign_module")" = "$cosign_version" ] && return 0
    command -v go >/dev/null || newer_go || return 1
    PATH="$PATH:$cache/go/bin" GOBIN="$cache/bin" nice -n 10 go install "$cosign_module/cmd/cosign@$cosign_version"
}

# It says that it wants a newer Node.js than most systems have, and works with 20.
node_modules() {
    command -v npm >/dev/null || { echo 'there is no npm' && return 1; }
    mkdir -p "$cache/node" && cp "$here/node/verify_bundle.mjs" "$cache/node/" || return 1
    cmp -s "$here/node/package-lock.json" "$cache/node/package-lock.json" && [ -d "$cache/node/node_modules" ] && return 0
    cp "$here/node/package.json" "$here/node/package-lock.json" "$cache/node/" &&
        (cd "$cache/node" && nice -n 10 npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
}
