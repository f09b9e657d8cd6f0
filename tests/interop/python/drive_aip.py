"""Drives the unmodified Python `aip` and ours against one log that serves --aip-v1. See ../aip.sh.

    drive_aip.py PART SCENE PYTHON_AIP OUR_AIP

Prints what was checked on one line; the first thing that is not as it should be ends it with exit code 1.
"""
import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import datetime, timezone
from pathlib import Path

import nacl.signing

part, scene, python_aip, our_aip = sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4]
url = (scene / "url").read_text()
HELPS = "install the native `aip`; DID and credentials file stay"


def wrong(what):
    sys.exit(f"drive_aip.py: {what}")


def check(holds, what):
    if not holds:
        wrong(what)


class Agent:
    """A home with one identity."""

    def __init__(self, name, service=url):
        self.home = scene / "agents" / name
        self.home.mkdir(parents=True, exist_ok=True)
        self.work = self.home / "work"
        self.work.mkdir(exist_ok=True)
        self.env = {"PATH": os.environ["PATH"], "HOME": str(self.home), "PYTHONIOENCODING": "utf-8", "LC_ALL": "C.UTF-8"}
        if service:
            self.env["AIP_SERVICE_URL"] = service
        self.file = self.home / ".aip" / "credentials.json"

    def credentials(self):
        return json.loads(self.file.read_text())

    @property
    def did(self):
        return self.credentials()["did"]

    def run(self, *arguments, rc=0, has=(), lacks=("Traceback",), program=python_aip, env=None, stdin=""):
        ran = subprocess.run([program, *arguments], cwd=self.work, env={**self.env, **(env or {})}, input=stdin, timeout=60,
                             capture_output=True, text=True)
        said = ran.stdout + ran.stderr
        command = f"{Path(program).name} {' '.join(arguments)}"
        check(rc is None or ran.returncode == rc, f"`{command}` ended with {ran.returncode}, not {rc}:\n{said}")
        for text in has:
            check(text in said, f"`{command}` does not say {text!r}:\n{said}")
        for text in lacks:
            check(text not in said, f"`{command}` says {text!r}:\n{said}")
        return ran.stdout

    def ours(self, *arguments, **expected):
        return self.run(*arguments, program=our_aip, **expected)


def python_agent(name, how=("init", "github")):
    agent = Agent(name)
    if not agent.file.exists():
        agent.run(*how, name)
    return agent


def our_agent(name, *flags):
    agent = Agent(name, service=None)
    if not agent.file.exists():
        agent.ours("init", *flags)
        agent.ours("policy", "pin", url, "--yes")
        agent.ours("init", "--register", *flags)
    return agent


def request(method, path, body=None):
    """Status and JSON of an answer."""
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(url + path, data=data, method=method, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as answer:
        return answer.code, json.loads(answer.read())


def refused(answer, status, *words):
    check(answer[0] == status, f"{answer} and not {status}")
    check(isinstance(answer[1].get("detail"), str), f"{answer} has no detail")
    for word in words:
        check(word in answer[1]["detail"], f"{answer} does not say {word!r}")


def log_size():
    with urllib.request.urlopen(url + "/checkpoint", timeout=20) as answer:
        return int(answer.read().split(b"\n")[1])


def commands():
    """Every command that it has; nothing of it is logged."""
    voucher, native = our_agent("voucher", "--capabilities", "messages,receipts,vouches"), our_agent("native")
    voucher.ours("vouch", native.did, "--scope", "CODE_SIGNING", "--level", "STRONG", "--expires", "30d")
    before = log_size()
    alice = python_agent("alice")
    alice.run("init", "github", "alice", has=["Already registered as"])
    bob = python_agent("bob", ("register", "--secure", "github"))
    carol = python_agent("carol", ("quickstart", "--username"))
    dave = python_agent("dave", ("register", "github"))
    count = 4
    for agent in (alice, bob, carol, dave):
        status, found = request("GET", f"/lookup/{agent.did}")
        check((status, found["public_key"]) == (200, agent.credentials()["public_key"]), f"lookup: {status} {found}")
        check(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", found["registered_at"]), f"registered_at: {found}")
    done = []

    def run(agent, *arguments, **expected):
        done.append(arguments[0])
        return agent.run(*arguments, **expected)

    run(alice, "--version", has=["0.5.51"])
    run(alice, "commands", has=["quickstart"])
    run(alice, "whoami", has=[alice.did, "Vouches: 0", "Trust score: 0.00"], lacks=["Could not reach"])
    run(alice, "status", has=["Version: 0.5.51", "DB: ✅", "Trust: 0.00"])
    run(alice, "badge", bob.did, has=["🪪", "Vouches: 0"])
    run(alice, "badge", "did:aip:" + "0" * 32, rc=1, has=["Could not fetch badge"])
    run(alice, "trust-score", voucher.did, native.did, has=["Trust Path Found", "Score: 0.8000", "Hops:  1", "CODE_SIGNING"])
    run(alice, "trust-score", voucher.did, native.did, "--scope", "FINANCIAL", has=["No trust path found"])
    run(alice, "trust-score", native.did, native.did, has=["Score: 1.0000", "Hops:  0"])
    run(alice, "badge", native.did, has=["Vouches: 1", "Scopes: CODE_SIGNING", voucher.did])
    run(alice, "trust-score", alice.did, bob.did, has=["No trust path found"])
    run(alice, "trust-score", alice.did, "did:aip:" + "0" * 32, rc=1, has=["404"])
    run(alice, "doctor", has=["v0.5.51", "Registered on service"], lacks=["Version mismatch", "❌   Database"])
    run(alice, "audit", has=["Registered on network", "Score:"])
    run(alice, "message", bob.did, "build 17 is done", has=["✅ Message sent"])
    run(alice, "message", "did:aip:" + "0" * 32, "hello?", rc=1, has=["Could not find recipient"])
    shown = run(bob, "messages", has=["1 message(s)", alice.did, "build 17 is done", "(decrypted)"])
    message = re.search(r"msg_[0-9a-f]{16}", shown)
    check(message, f"no message id in {shown}")
    run(bob, "messages", "--no-decrypt", has=["[encrypted"], lacks=["build 17"])
    run(bob, "messages", "--unread", "--mark-read", has=["build 17", "Marked 1/1"])
    run(bob, "messages", "--unread", has=["No messages."])
    run(bob, "messages", has=["build 17"])
    run(bob, "reply", message[0], "thank you", has=["✅ Reply sent", "In reply to"])
    run(bob, "reply", "msg_" + "0" * 16, "nobody", rc=1, has=["not found in your inbox"])
    run(alice, "messages", has=[bob.did, f"[Re: {message[0][:8]}] thank you"])
    # Keys in the environment, and no home at all: what a CI job has.
    keys = {"AIP_DID": alice.did, "AIP_PRIVATE_KEY": alice.credentials()["private_key"], "HOME": str(scene / "nobody")}
    run(alice, "message", bob.did, "from a job", has=["✅ Message sent"], env=keys)
    run(bob, "messages", "--unread", has=["from a job"])
    # What would have to be logged is refused with the sentence that helps, and no key changes.
    kept = alice.file.read_text()
    run(alice, "vouch", bob.did, rc=1, has=[HELPS], lacks=[])
    run(alice, "revoke", "5d4c9a7e-0000-4000-8000-000000000000", rc=1, has=[HELPS], lacks=[])
    run(alice, "rotate-key", rc=1, has=["Rotation failed", HELPS])
    check(alice.file.read_text() == kept, "rotate-key changed the credentials file")
    # What is not there: upstream's own exit codes for 404.
    for command in (["profile", "show"], ["profile", "set", "--bio", "x"], ["directory"], ["stats"], ["webhook", "list"],
                    ["webhook", "add", "https://example.com/"], ["cache", "status"], ["cache", "clear"]):
        run(alice, *command, rc=0)
    for command in (["list"], ["search", "x"], ["trust-graph"], ["observe", "scores"], ["observe", "list"],
                    ["observe", "submit", "--promised", "a", "--delivered", "a"], ["cache", "sync"]):
        run(alice, *command, rc=1)
    for command in (["vouch-vc"], ["wallet", "list"], ["wallet", "bind", "0x0"], ["webhook", "delete", "1"],
                    ["wallet", "verify", "type=token_balance"], ["cache", "lookup", bob.did], ["changelog"]):
        run(alice, *command, rc=None)
    # And what needs no server.
    (alice.work / "dist").mkdir(exist_ok=True)
    (alice.work / "dist" / "a.whl").write_bytes(b"a")
    run(alice, "sign", "dist", has=["Signed!"])
    run(alice, "verify", "dist", has=["Signature valid!"])
    run(alice, "export", has=[alice.did])
    run(alice, "export", "-o", "alice.json")
    run(bob, "import", alice.did, has=["Imported"])
    run(bob, "import", str(alice.work / "alice.json"), has=["Imported"])
    imported = json.loads((bob.home / ".aip/keyring" / f"{alice.did.replace(':', '_')}.json").read_text())
    check(imported["public_key"] == alice.credentials()["public_key"], "import has another key")
    run(alice, "migrate", "--dry-run")
    run(alice, "demo", rc=None)
    run(dave, "encrypt-credentials", rc=None, env={"AIP_PASSPHRASE": "correct horse"})
    check(log_size() == before, "something was logged")
    done = sorted(set(done) | {"init", "register", "quickstart"})
    return f"{len(done)} commands ({', '.join(done)}), {count} identities registered, nothing logged"


def mail():
    """Between Python and ours, both ways."""
    alice, ours = python_agent("alice"), our_agent("native")
    alice.run("message", ours.did, "from Python é世", has=["✅ Message sent"])
    inbox = json.loads(ours.ours("inbox", "--json"))
    legacy = [one for one in inbox["messages"] if one["legacy"] and one["sender"] == alice.did]
    check(len(legacy) == 1, f"inbox: {inbox}")
    check((legacy[0]["verdict"], legacy[0]["body"]) == ("accepted", "from Python é世"), f"{legacy[0]}")
    ours.ours("inbox", has=["its sender is not proven to know the text"])
    ours.ours("message", alice.did, "from ours ü", "--legacy")
    shown = alice.run("messages", "--unread", has=[ours.did, "from ours ü", "(decrypted)"])
    message = re.findall(r"msg_[0-9a-f]{16}", shown)[0]
    alice.run("reply", message, "and back", has=["✅ Reply sent"])
    again = json.loads(ours.ours("inbox", "--ack", "--json"))
    bodies = [one.get("body") for one in again["messages"] if one["legacy"]]
    check(f"[Re: {message[:8]}] and back" in bodies, f"inbox: {again}")
    check(not json.loads(ours.ours("inbox", "--json"))["messages"], "what was acknowledged is still there")
    return "messages of Python read by ours, of ours by Python, replies, --ack"


def manifests():
    """What one signs the other verifies, and the other way round."""
    alice, ours = python_agent("alice"), our_agent("native")
    names = ["a.whl", "sub/b.bin", "é世.txt", "q\"uote.txt", "a b.txt"]
    folder = ours.work / "signed"
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    ours.ours("sign", "signed", "--aip-manifest", "--receipts", "receipts")
    alice.run("verify", str(folder), has=["Signature valid!", ours.did, f"Files: {len(names)} verified"], lacks=["new file"])
    (folder / "a.whl").write_bytes(b"another")
    alice.run("verify", str(folder), rc=1, has=["Modified: a.whl"])
    theirs = alice.work / "theirs"
    for name in names:
        (theirs / name).parent.mkdir(parents=True, exist_ok=True)
        (theirs / name).write_bytes(name.encode())
    alice.run("sign", str(theirs), has=["Signed!"])
    ours.ours("verify", str(theirs), "--aip-manifest", "--signer", alice.did, has=["ok  "])
    (theirs / "a.whl").write_bytes(b"another")
    ours.ours("verify", str(theirs), "--aip-manifest", "--signer", alice.did, rc=1, has=["manifest-digest"])
    # The identity of Python moves over: same file, same DID, and its manifests are as good as before.
    moved = Agent("moved", service=None)
    shutil.copytree(alice.home / ".aip", moved.home / ".aip", dirs_exist_ok=True)
    moved.ours("policy", "pin", url, "--yes")
    kept = moved.file.read_text()
    moved.ours("init", "--from-aip", has=[alice.did])
    check(moved.file.read_text() == kept, "the credentials file was written")
    moved.ours("init", "--register", has=[alice.did])
    (moved.work / "a").write_bytes(b"a")
    moved.ours("sign", "a", "--aip-manifest")
    alice.run("verify", str(moved.work / "a"), has=["Signature valid!", alice.did])
    moved.ours("verify", "a", "--signer", alice.did)
    return f"{len(names)} files signed by ours verified by Python and the other way round, altered ones refused, an identity moved over"


def flaws():
    """What the Python service accepts, sent by hand."""
    alice, bob = python_agent("alice"), python_agent("bob")
    key = nacl.signing.SigningKey(base64.b64decode(alice.credentials()["private_key"]))
    b64 = lambda data: base64.b64encode(data).decode()
    # Alice's key with Bob's DID.
    folder = alice.work / "mixed"
    folder.mkdir(exist_ok=True)
    (folder / "x").write_bytes(b"x")
    mixed = {"AIP_CREDENTIALS_PATH": str(alice.work / "mixed.json")}
    (alice.work / "mixed.json").write_text(json.dumps({**alice.credentials(), "did": bob.did}))
    alice.run("sign", str(folder), env=mixed)
    alice.run("verify", str(folder), has=["Signature valid!", bob.did])
    Agent("judge", service=None).ours("verify", str(folder), "--aip-manifest", "--signer", bob.did, rc=1, has=["manifest-key"])
    # Keys that are none, in registrations.
    for raw in (b"12345", bytes(32)):
        did = "did:aip:" + hashlib.sha256(raw).hexdigest()[:32]
        refused(request("POST", "/register", {"did": did, "public_key": b64(raw), "platform": "x", "username": "y"}), 400)
    fresh = nacl.signing.SigningKey.generate()
    public = b64(bytes(fresh.verify_key))
    did = "did:aip:" + hashlib.sha256(bytes(fresh.verify_key)).hexdigest()[:32]
    for spelled in ("\n" + public, public[:8] + "!" + public[8:], public.rstrip("=")):
        refused(request("POST", "/register", {"did": did, "public_key": spelled, "platform": "x", "username": "y"}), 400)
    refused(request("POST", "/register", {"did": bob.did, "public_key": public, "platform": "x", "username": "y"}), 400)
    # Messages: no time, a time without a zone, the same signature spelled otherwise.
    def message(timestamp, spell=lambda signature: signature, text=b"x", when=None):
        box = b64(text * 60)
        signed = b64(key.sign(f"{alice.did}|{bob.did}|{timestamp}|{box}".encode()).signature)
        body = {"sender_did": alice.did, "recipient_did": bob.did, "encrypted_content": box, "signature": spell(signed)}
        return request("POST", "/message", body if timestamp is None else {**body, "timestamp": timestamp})
    refused(message(None), 400)
    refused(message(datetime.now(timezone.utc).replace(tzinfo=None).isoformat()), 400)
    refused(message("2026-01-01T00:00:00+00:00"), 400)
    now = datetime.now(timezone.utc).isoformat()
    status, sent = message(now)
    check((status, sent["success"]) == (200, True) and re.fullmatch(r"msg_[0-9a-f]{16}", sent["message_id"]), f"{status} {sent}")
    refused(message(now), 409)
    for spell in (lambda s: s + "\n", lambda s: "!" + s, lambda s: s[:-1]):
        refused(message(now, spell), 400)
    refused(message(now, lambda s: b64(bytes(64))), 401)
    # Somebody asks for Bob's challenges all day, and Bob reads his mail.
    for _ in range(40):
        request("POST", "/challenge", {"did": bob.did})
    bob.run("messages", has=["message(s)"])
    # A challenge opens once, and only as a challenge.
    status, given = request("POST", "/challenge", {"did": alice.did})
    check(status == 200 and re.fullmatch(r"[0-9a-f]{64}", given["challenge"]), f"{status} {given}")
    opened = {"did": alice.did, "challenge": given["challenge"], "unread_only": False,
              "signature": b64(key.sign(given["challenge"].encode()).signature)}
    check(request("POST", "/messages", opened)[0] == 200, "a good challenge does not open")
    refused(request("POST", "/messages", opened), 401)
    other = "f" * 64
    refused(request("POST", "/messages", {**opened, "challenge": other, "signature": b64(key.sign(other.encode()).signature)}), 401)
    refused(request("POST", "/messages", {**opened, "did": bob.did}), 401)
    # What anybody could count, subscribe to or change.
    for method, path in (("GET", f"/messages/count?did={bob.did}"), ("GET", f"/webhooks/{bob.did}"), ("GET", "/directory"),
                         ("DELETE", "/oracle/wallet/bind"), ("GET", "/admin/registrations"), ("GET", f"/resolve/{bob.did}")):
        check(request(method, path)[0] == 404, f"{method} {path} is there")
    refused(request("GET", "/trust/did:aip:" + "0" * 32), 404)
    refused(request("GET", f"/trust-path?source_did={alice.did}&target_did={bob.did}&decay_factor=1.0"), 422)
    # A client that is told another DID than its key's. Python believes it, ours derives it.
    check(json.loads(Agent("judge", service=None).ours("init", "--json"))["did"].startswith("did:aip:"), "init")
    return "what its own service accepts and this refuses: mixed manifests, keys, times, replays, challenges, counts, scores"


def action():
    """Its action's step, word for word, with our program in the place of `aip`."""
    text = (scene / "action.yml").read_text()
    step = text[text.index("- name: Sign artifacts"):]
    step = step[step.index("run: |\n") + len("run: |\n"):]
    lines = []
    for line in step.splitlines():
        if line.strip() and not line.startswith("        "):
            break
        lines.append(line[8:])
    script = "\n".join(lines).replace("${{ inputs.sign-paths }}", "dist/*")
    check("${{" not in script and "aip sign" in script, f"the script is not what it was:\n{script}")
    job = python_agent("alice")
    folder = job.work / "checkout"
    (folder / "dist").mkdir(parents=True, exist_ok=True)
    for name in ("a.whl", "b.tar.gz"):
        (folder / "dist" / name).write_bytes(name.encode())
    output = folder / "output"
    output.write_text("")
    env = {"PATH": f"{scene / 'bin'}:{os.environ['PATH']}", "HOME": str(scene / "runner"), "GITHUB_OUTPUT": str(output),
           "AIP_DID": job.did, "AIP_PRIVATE_KEY": job.credentials()["private_key"],
           "AIP_SERVICE": "https://aip-service.fly.dev"}
    began = int(time.time())
    ran = subprocess.run(["bash", "-e", "-o", "pipefail", "-c", script], cwd=folder, env=env, capture_output=True, text=True, timeout=60)
    check(ran.returncode == 0, ran.stdout + ran.stderr)
    value = re.search(r"^signatures=(.*)$", output.read_text(), re.M)
    check(value, f"no output: {ran.stdout}{ran.stderr}")
    signatures = {one["path"]: one["signature"] for one in json.loads(value[1])}
    check(sorted(signatures) == ["dist/a.whl", "dist/b.tar.gz"], f"signatures: {signatures}")
    public = nacl.signing.SigningKey(base64.b64decode(job.credentials()["private_key"])).verify_key
    for path, signature in signatures.items():
        name = Path(path).name
        digest = hashlib.sha256((folder / path).read_bytes()).hexdigest()

        def holds(second):
            manifest = {"version": "1.0", "did": job.did, "public_key": job.credentials()["public_key"], "timestamp": second,
                        "files": {name: digest}}
            payload = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
            try:
                return bool(public.verify(payload, bytes.fromhex(signature)))
            except nacl.exceptions.BadSignatureError:
                return False
        check(any(holds(second) for second in range(began - 1, int(time.time()) + 2)), f"{path}: {signature} does not verify")
    job.run("verify", str(folder / "dist/b.tar.gz"), has=["Signature valid!"])
    return f"its step writes {len(signatures)} signatures that verify; upstream writes none"


print({"commands": commands, "mail": mail, "manifests": manifests, "flaws": flaws, "action": action}[part]())
