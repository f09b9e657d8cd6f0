"""Lays out the sample log of entry.json (in $AIP_VECTORS) as a scene: what a live log and our command line would leave.

    log/{checkpoint,tile/...}   the log as a static folder
    vkey  policy                the log's key, the policy with its witness
    checkpoints/<size>          signed checkpoints as they were served
    receipts/*.receipt.json     artifacts/*
    expected/                   the Sigstore bundle, key and trusted root made elsewhere from the first receipt
"""

import base64
import json
import os
import pathlib
import shutil
import struct
import sys

scene = pathlib.Path(sys.argv[1])
vectors = pathlib.Path(os.environ["AIP_VECTORS"])
sample = json.loads((vectors / "entry.json").read_text())
cases = sorted(sample["cases"], key=lambda case: case["index"])


def write(path, data):
    file = scene / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data if isinstance(data, bytes) else data.encode())


size = sample["tree"]["size"]
assert size == len(cases) < 256, "the sample log fits one partial tile"
checkpoint = cases[0]["proof"].split("\n\n", 1)[1]
leaves = [case["leaf"].encode() for case in cases]

write("vkey", sample["log"]["vkey"])
write("policy", sample["policy"])
write("log/checkpoint", checkpoint)
write(f"checkpoints/{size}", checkpoint)
write(f"log/tile/0/000.p/{size}", b"".join(bytes.fromhex(case["leaf_hash"]) for case in cases))
write(f"log/tile/entries/000.p/{size}", b"".join(struct.pack(">H", len(leaf)) + leaf for leaf in leaves))
for name, data in sample["artifacts"].items():
    write(f"artifacts/{name}", base64.b64decode(data))
for case in cases:
    write(f"receipts/{case['index']}.receipt.json", json.dumps(case["receipt"]))
for ours, theirs in [("bundle.json", "entry_bundle.json"), ("key.pub", "entry_key.pub"),
                     ("trusted_root.json", "entry_trusted_root.json")]:
    (scene / "expected").mkdir(exist_ok=True)
    shutil.copy(vectors / "sigstore" / theirs, scene / "expected" / ours)
