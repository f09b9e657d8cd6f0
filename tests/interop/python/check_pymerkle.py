"""Recomputes the log's roots and our receipts' proofs with pymerkle, from the entry bundles alone. Usage: ... SCENE"""

import base64
import sys

from pymerkle import InmemoryTree

from scene import Scene, refuses


def read_entries(url, size, get):
    entries = []
    for number, first in enumerate(range(0, size, 256)):
        width = min(256, size - first)
        groups = f"{number // 1000 % 1000:03}/{number % 1000:03}" if number >= 1000 else f"{number:03}"
        path = ("x" if number >= 1000 else "") + groups + (f".p/{width}" if width < 256 else "")
        bundle = get(url, f"tile/entries/{path}")
        while bundle:
            length = int.from_bytes(bundle[:2], "big")
            entries.append(bundle[2:2 + length])
            bundle = bundle[2 + length:]
    assert len(entries) == size, f"{len(entries)} entries for size {size}"
    return entries


def rebuild(scene, url):
    """The tree of all entries, once its root is that of the checkpoint."""
    size, root = parse_checkpoint(scene.get(url, "checkpoint").decode())
    tree = InmemoryTree(algorithm="sha256")
    for entry in read_entries(url, size, scene.get):
        tree.append_entry(entry)
    assert tree.get_root() == root, "the entries have another root than the checkpoint"
    return tree


def parse_checkpoint(text):
    _, size, root = text.split("\n")[:3]
    return int(size), base64.b64decode(root)


def check_receipt(tree, receipt):
    """pymerkle's own path for the receipt's leaf, and ours, are the same hashes."""
    head, checkpoint = receipt["proof"].split("\n\n", 1)
    _, index, *hashes = head.split("\n")
    size, root = parse_checkpoint(checkpoint)
    assert tree.get_root(size) == root, "the receipt's checkpoint has another root"
    proof = tree.prove_inclusion(int(index.removeprefix("index ")) + 1, size)
    leaf = tree.hash_buff(base64.b64decode(receipt["leaf"]))
    assert proof.path == [leaf] + [base64.b64decode(line) for line in hashes], "another leaf or path"


scene = Scene(sys.argv[1])
tree = rebuild(scene, scene.url)
served = [parse_checkpoint(text.decode()) for text in scene.checkpoints()]
for size, root in served:
    assert tree.get_root(size) == root, f"another root at size {size}"
receipts = scene.receipts()
for receipt in receipts:
    check_receipt(tree, receipt)
    other = dict(receipt, leaf=base64.b64encode(b"another leaf").decode())
    refuses("another leaf", lambda: check_receipt(tree, other))
rebuild(scene, f"{scene.altered}/nothing")
refuses("an altered entry", lambda: rebuild(scene, f"{scene.altered}/entries"))
print(f"root recomputed from {tree.get_size()} entries and at {len(served)} served checkpoints, inclusion paths of "
      f"{len(receipts)} receipts equal to its own; altered entry, leaf refused")
