"""Makes Sigstore bundles v0.3 from the receipts of a scene, with nothing but the receipts and the log's key.

For one receipt of each predicate type (published and private), SCENE/sigstore/<name>/ gets
    bundle.json  key.pub  trusted_root.json  type  artifact
and what a verifier has to refuse:
    altered_artifact  altered/<what>.json
"""

import base64
import copy
import hashlib
import json
import pathlib
import sys

SPKI_ED25519 = bytes.fromhex("302a300506032b6570032100")
COSIGN_TYPES = {"https://slsa.dev/provenance/v1": "slsaprovenance1"}  # cosign's short name; any other goes by its URI


def b64(data):
    return base64.b64encode(data).decode()


def spki(raw_key):
    return SPKI_ED25519 + raw_key


def pem(raw_key):
    return f"-----BEGIN PUBLIC KEY-----\n{b64(spki(raw_key))}\n-----END PUBLIC KEY-----\n"


def raw_log_key(vkey):
    kind_and_key = base64.b64decode(vkey.split("+", 2)[2])
    assert kind_and_key[0] == 1 and len(kind_and_key) == 33, "the log's key is not Ed25519"
    return kind_and_key[1:]


def parse_proof(text):
    """The index and the sibling hashes of a C2SP tlog-proof."""
    head, _ = text.split("\n\n", 1)
    version, *lines = head.split("\n")
    assert version == "c2sp.org/tlog-proof@v1"
    if lines[0].startswith("extra "):
        lines = lines[1:]
    return lines[0].removeprefix("index "), lines[1:]


def make_bundle(receipt, log_id):
    index, hashes = parse_proof(receipt["proof"])
    _, size, root = receipt["sigstoreNote"].split("\n")[:3]
    leaf = json.loads(base64.b64decode(receipt["leaf"]))
    return {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {
            "publicKey": {"hint": receipt["did"]},
            "tlogEntries": [{
                "logIndex": index,
                "logId": {"keyId": b64(log_id)},
                "kindVersion": {"kind": leaf["kind"], "version": leaf["apiVersion"]},
                "inclusionProof": {
                    "logIndex": index,
                    "rootHash": root,
                    "treeSize": size,
                    "hashes": hashes,
                    "checkpoint": {"envelope": receipt["sigstoreNote"]},
                },
                "canonicalizedBody": receipt["leaf"],
            }],
        },
        "dsseEnvelope": receipt["envelope"],
    }


def make_trusted_root(receipt, log_key):
    host = receipt["sigstoreNote"].split("\n\n— ")[1].split(" ")[0]
    return {
        "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "tlogs": [{
            "baseUrl": f"https://{host}",
            "hashAlgorithm": "SHA2_256",
            "publicKey": {
                "rawBytes": b64(spki(log_key)),
                "keyDetails": "PKIX_ED25519",
                "validFor": {"start": "2025-01-01T00:00:00Z"},
            },
            "logId": {"keyId": b64(hashlib.sha256(spki(log_key)).digest())},
        }],
        "certificateAuthorities": [],
        "ctlogs": [],
        "timestampAuthorities": [],
    }


def flip_b64(text):
    data = bytearray(base64.b64decode(text))
    data[len(data) // 2] ^= 1
    return b64(bytes(data))


def altered_bundles(bundle):
    def altered(change):
        other = copy.deepcopy(bundle)
        change(other["verificationMaterial"]["tlogEntries"], other["dsseEnvelope"])
        return other

    def flip(container, member):
        container[member] = flip_b64(container[member])

    def other_size(entries, _):
        proof = entries[0]["inclusionProof"]
        lines = proof["checkpoint"]["envelope"].split("\n")
        proof["treeSize"] = lines[1] = str(int(lines[1]) + 1)
        proof["checkpoint"]["envelope"] = "\n".join(lines)

    def other_log_signature(entries, _):
        checkpoint = entries[0]["inclusionProof"]["checkpoint"]
        text, signature = checkpoint["envelope"].rstrip("\n").rsplit(" ", 1)
        checkpoint["envelope"] = f"{text} {flip_b64(signature)}\n"

    yield "proof", altered(lambda entries, _: flip(entries[0]["inclusionProof"]["hashes"], 0))
    yield "tree size", altered(other_size)
    yield "log signature", altered(other_log_signature)
    yield "leaf", altered(lambda entries, _: flip(entries[0], "canonicalizedBody"))
    yield "signature", altered(lambda _, envelope: flip(envelope["signatures"][0], "sig"))
    yield "payload", altered(lambda _, envelope: flip(envelope, "payload"))
    yield "missing entry", altered(lambda entries, _: entries.clear())


def main(scene):
    log_key = raw_log_key((scene / "vkey").read_text().strip())
    by_digest = {hashlib.sha256(file.read_bytes()).hexdigest(): file for file in (scene / "artifacts").iterdir()}
    seen = set()
    for file in sorted((scene / "receipts").glob("*.receipt.json")):
        receipt = json.loads(file.read_text())
        statement = json.loads(base64.b64decode(receipt["envelope"]["payload"]))
        is_private = "subjects" not in json.loads(base64.b64decode(receipt["leaf"]))["spec"]["aip"]
        kind = (statement["predicateType"], is_private, len(statement["subject"]) > 1)
        # The altered proof needs a sibling hash: a tree of one leaf has none.
        if kind in seen or not parse_proof(receipt["proof"])[1]:
            continue
        seen.add(kind)
        bundle = make_bundle(receipt, hashlib.sha256(spki(log_key)).digest())
        artifact = by_digest[statement["subject"][0]["digest"]["sha256"]].read_bytes()
        out = scene / "sigstore" / file.name.removesuffix(".receipt.json")
        (out / "altered").mkdir(parents=True)
        (out / "bundle.json").write_text(json.dumps(bundle))
        (out / "key.pub").write_text(pem(base64.b64decode(receipt["publicKey"])))
        (out / "trusted_root.json").write_text(json.dumps(make_trusted_root(receipt, log_key)))
        (out / "type").write_text(COSIGN_TYPES.get(statement["predicateType"], statement["predicateType"]))
        (out / "artifact").write_bytes(artifact)
        (out / "altered_artifact").write_bytes(artifact + b"altered")
        for what, altered in altered_bundles(bundle):
            (out / "altered" / f"{what}.json").write_text(json.dumps(altered))
    assert seen, "no receipt to make a bundle from"
    print(f"{len(seen)} bundles made from receipts" + compare_with_expected(scene))


def compare_with_expected(scene):
    """Where the same bundle was made elsewhere, ours has to be equal to it."""
    expected = scene / "expected"
    if not expected.is_dir():
        return ""
    ours = scene / "sigstore" / "0"
    assert (ours / "key.pub").read_bytes() == (expected / "key.pub").read_bytes(), "key.pub differs"
    for name in ["bundle.json", "trusted_root.json"]:
        same = json.loads((ours / name).read_text()) == json.loads((expected / name).read_text())
        assert same, f"{name} differs from the one made elsewhere"
    return ", the first equal in bundle, key and trusted root to the one made elsewhere"


main(pathlib.Path(sys.argv[1]))
