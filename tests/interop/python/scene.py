"""What a log and our command line left behind, as the checks read it."""

import json
import pathlib
import urllib.request


class Scene:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.url = (self.folder / "url").read_text().strip()
        self.altered = (self.folder / "altered").read_text().strip()

    def get(self, url, path):
        with urllib.request.urlopen(f"{url}/{path}", timeout=10) as answer:
            return answer.read()

    def checkpoints(self):
        return [file.read_bytes() for file in (self.folder / "checkpoints").iterdir()]

    def receipts(self):
        receipts = [json.loads(file.read_text()) for file in sorted((self.folder / "receipts").glob("*.receipt.json"))]
        assert receipts, "the scene has no receipts"
        return receipts


def refuses(what, check, reason=AssertionError):
    """The negative control: a check that takes anything checks nothing."""
    try:
        check()
    except reason:
        return
    raise SystemExit(f"{what} was accepted")
