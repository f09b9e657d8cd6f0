"""Exports receipts of a scene as Sigstore bundles, by our command line, and alters them.

    sigstore_bundles.py AIP-ATTEST SCENE

For one receipt of each kind of statement (published and private), SCENE/sigstore/<name>/ gets
    bundle.json  key.pub  trusted_root.json  artifact  altered_artifact  altered/…  harmless/…  roots/…
    table.<program>     a line a case: what the program has to answer (`accept`, `refuse`), bundle, trusted root, artifact, type
"""

import base64
import copy
import hashlib
import json
import os
import pathlib
import subprocess
import sys

PROGRAMS = ["cosign", "ours", "crate", "npm"]

# What each program says of a bundle that is altered so: a accepts, r refuses, - is not asked. The first column is what
# ../../../specs/sigstore.md rests on; in the others stand the places where a program is laxer or stricter.
TABLE = {
    #                        cosign ours crate npm
    "bundle":                 "aaaa",
    "artifact":               "rrr-",  # npm looks at the artifact of message signatures only
    "type":                   "rr--",
    "no type":                "r---",  # cosign's default is `custom`
    "proof hash":             "rrrr",
    "treeSize":               "rrra",
    "rootHash":               "rrra",
    "logIndex of the proof":  "rrrr",
    "leaf":                   "rrrr",
    "note, size":             "rrrr",
    "note, signature":        "rrrr",
    "note, a witness line":   "rraa",
    "signature":              "rrrr",
    "payload":                "rrrr",
    "keyid":                  "rraa",
    "further member":         "rraa",
    "no entry":               "rrrr",
    "no hint":                "aaaa",
    "no logIndex, which is 0": "aaaa",
    "integratedTime":         "aaaa",
    "logIndex of the entry":  "araa",
    "root, another host":     "arar",
    "root, from 2030":        "aara",
    "root, ended":            "araa",
}


def b64(data):
    return base64.b64encode(data).decode()


def flip_b64(text, at):
    data = bytearray(base64.b64decode(text))
    data[at % len(data)] ^= 1
    return b64(bytes(data))


def alterations(bundle):
    """(what, altered bundle)"""

    def altered(change):
        other = copy.deepcopy(bundle)
        entries = other["verificationMaterial"]["tlogEntries"]
        change(other, entries, entries[0], entries[0]["inclusionProof"], other["dsseEnvelope"])
        return other

    def note(change):
        def on(_bundle, _entries, _entry, proof, _envelope):
            proof["checkpoint"]["envelope"] = change(proof["checkpoint"]["envelope"])
        return altered(on)

    def put(container, member, value):
        container[member] = value

    def other_size(_bundle, _entries, _entry, proof, _envelope):
        lines = proof["checkpoint"]["envelope"].split("\n")
        proof["treeSize"] = lines[1] = str(int(lines[1]) + 1)
        proof["checkpoint"]["envelope"] = "\n".join(lines)

    def other_signature(text):
        text, signature = text.rstrip("\n").rsplit(" ", 1)
        return f"{text} {flip_b64(signature, 40)}\n"

    plus_one = lambda text: str(int(text) + 1)
    yield "proof hash", altered(lambda b, es, e, p, d: put(p, "hashes", [flip_b64(p["hashes"][0], 7)] + p["hashes"][1:]))
    yield "treeSize", altered(lambda b, es, e, p, d: put(p, "treeSize", plus_one(p["treeSize"])))
    yield "rootHash", altered(lambda b, es, e, p, d: put(p, "rootHash", flip_b64(p["rootHash"], 7)))
    yield "logIndex of the proof", altered(lambda b, es, e, p, d: put(p, "logIndex", plus_one(p["logIndex"])))
    leaf = bundle["verificationMaterial"]["tlogEntries"][0]["canonicalizedBody"]
    length = len(base64.b64decode(leaf))
    for part in range(8):
        # Every byte: ../../../attestation/tests/suite/bundles.rs.
        at = (2 * part + 1) * length // 16
        yield "leaf", altered(lambda b, es, e, p, d: put(e, "canonicalizedBody", flip_b64(leaf, at)))
    yield "note, size", altered(other_size)
    yield "note, signature", note(other_signature)
    yield "note, a witness line", note(lambda text: text + f"\N{EM DASH} witness.example.com {b64(bytes(76))}\n")
    yield "signature", altered(lambda b, es, e, p, d: put(d["signatures"][0], "sig", flip_b64(d["signatures"][0]["sig"], 9)))
    yield "payload", altered(lambda b, es, e, p, d: put(d, "payload", flip_b64(d["payload"], 60)))
    yield "keyid", altered(lambda b, es, e, p, d: put(d["signatures"][0], "keyid", "1"))
    yield "further member", altered(lambda b, es, e, p, d: put(b, "extra", 1))
    yield "no entry", altered(lambda b, es, e, p, d: es.clear())
    yield "no hint", altered(lambda b, es, e, p, d: put(b["verificationMaterial"], "publicKey", {}))
    yield "integratedTime", altered(lambda b, es, e, p, d: put(e, "integratedTime", "1700000000"))
    yield "logIndex of the entry", altered(lambda b, es, e, p, d: put(e, "logIndex", plus_one(e["logIndex"])))
    if bundle["verificationMaterial"]["tlogEntries"][0]["logIndex"] == "0":
        yield "no logIndex, which is 0", altered(lambda b, es, e, p, d: (e.pop("logIndex"), p.pop("logIndex")))


def sibling_hashes(proof):
    """The hashes of a C2SP tlog-proof: the lines between its index and its checkpoint."""
    head = proof.split("\n\n", 1)[0].split("\n")
    return head[next(at for at, line in enumerate(head) if line.startswith("index ")) + 1:]


def other_roots(root):
    def altered(change):
        other = copy.deepcopy(root)
        change(other["tlogs"][0])
        return other

    yield "root, another host", altered(lambda log: log.update(baseUrl="https://elsewhere.example"))
    yield "root, from 2030", altered(lambda log: log["publicKey"].update(validFor={"start": "2030-01-01T00:00:00Z"}))
    ended = {"start": "2025-01-01T00:00:00Z", "end": "2025-06-01T00:00:00Z"}
    yield "root, ended", altered(lambda log: log["publicKey"].update(validFor=ended))


def main(program, scene):
    def aip(*arguments):
        environment = {"PATH": os.environ["PATH"], "HOME": str(scene / "export-home")}
        command = [program, *map(str, arguments), "--policy", scene / "policy"]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    by_digest = {hashlib.sha256(file.read_bytes()).hexdigest(): file for file in (scene / "artifacts").iterdir()}
    root = aip("policy", "export", "--sigstore")
    seen = set()
    for file in sorted((scene / "receipts").glob("*.receipt.json")):
        receipt = json.loads(file.read_text())
        statement = json.loads(base64.b64decode(receipt["envelope"]["payload"]))
        is_private = "subjects" not in json.loads(base64.b64decode(receipt["leaf"]))["spec"]["aip"]
        kind = (statement["predicateType"], is_private, len(statement["subject"]) > 1)
        # The altered proof needs a sibling hash: a tree of one leaf has none.
        if kind in seen or not sibling_hashes(receipt["proof"]):
            continue
        seen.add(kind)
        out = scene / "sigstore" / file.name.removesuffix(".receipt.json")
        for folder in ["altered", "roots"]:
            (out / folder).mkdir(parents=True)
        said = json.loads(aip("export", "--sigstore", file, "--out", out / "bundle.json", "--json"))
        assert said["command"][0] == "cosign" and said["key"] == str(out / "bundle.pub"), said
        (out / "bundle.pub").rename(out / "key.pub")
        (out / "trusted_root.json").write_text(root)
        artifact = by_digest[statement["subject"][0]["digest"]["sha256"]].read_bytes()
        (out / "artifact").write_bytes(artifact)
        (out / "altered_artifact").write_bytes(artifact + b"altered")
        # The command that we print is the one that is run: its type, too.
        write_cases(out, said["command"][said["command"].index("--type") + 1], json.loads(root))
    assert seen, "no receipt to make a bundle from"
    for program, column in zip(PROGRAMS, zip(*TABLE.values())):
        differs = [what for what, answer, first in zip(TABLE, column, TABLE.values()) if answer != "-" != first[0] != answer]
        text = f"otherwise than cosign: {'; '.join(differs)}" if differs else "the table is cosign's"
        (scene / f"sigstore_differs.{program}").write_text(text)
    print(f"{len(seen)} receipts exported as bundles" + compare_with_expected(scene))


def write_cases(out, kind, root):
    bundle = json.loads((out / "bundle.json").read_text())
    cases = [
        ("bundle", "bundle.json", "trusted_root.json", "artifact", kind),
        ("artifact", "bundle.json", "trusted_root.json", "altered_artifact", kind),
        ("type", "bundle.json", "trusted_root.json", "artifact", "https://example.com/another"),
        ("no type", "bundle.json", "trusted_root.json", "artifact", ""),
    ]
    for number, (what, altered) in enumerate(alterations(bundle)):
        name = f"altered/{number} {what}.json"
        (out / name).write_text(json.dumps(altered))
        cases.append((what, name, "trusted_root.json", "artifact", kind))
    for what, altered in other_roots(root):
        name = f"roots/{what}.json"
        (out / name).write_text(json.dumps(altered))
        cases.append((what, "bundle.json", name, "artifact", kind))
    for at, program in enumerate(PROGRAMS):
        answers = {"a": "accept", "r": "refuse"}
        lines = ["\t".join([answers[TABLE[what][at]], *case]) for what, *case in cases if TABLE[what][at] != "-"]
        (out / f"table.{program}").write_text("\n".join(lines) + "\n")


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


main(sys.argv[1], pathlib.Path(sys.argv[2]))
