"""Statements that were mutated, and what a recipient must say of each: the rules of specs/message.md a second time.

Half are mutated as values, half as bytes; each is signed by its sender and sealed by pyhpke. `message_interop judge` reads the lines.
"""

import base64
import json
import random
import re

import messages
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

WEEK = 604_800_000
TIMES = (0, 1, -1, 1.5, 1e3, True, None, "1", 2**53 - 1, 2**53, 2**64, messages.NOW, messages.NOW + 1, messages.NOW + WEEK,
         messages.NOW + WEEK + 1, messages.NOW + 300_000, messages.NOW + 300_001, messages.NOW - WEEK)
TEXTS = ("", "a", "\0", "\x1f", "\x7f", "\x85", " a", "a ", "\u00a0a", "\u2028", "😀", "a/b", "a\\b", "a:b", ".a", "-a", "a.", "é",
         "text/plain", "Text/plain", "text/plain; a=b", "a/b/c", "/b", "a/", "+a/b", "a/" + "b" * 64, "a/" + "b" * 65, "x" * 128,
         "x" * 129, "é" * 64, "x" * 1024, "x" * 1025, "x" * 65536, "x" * 65537, "a b", "a+b", "o" * 255, "o" * 256, messages.ORIGIN,
         "0" * 32, "A" * 32, "0" * 31, "0" * 64, "g" * 64, "AAAA", "AAA=", "AAA", "AAB=", "A A=", "AA\nA=", "_-8=")
OTHERS = (None, 0, 1, True, [], {}, [[]], [{}], ["a"], "a")
BAD_KEYS = ("AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "7f///////////////////////////////////////38=",
            "AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "xxdqcD1N2E+6PAt2DRBnDyogU/osOczGTsf9d5KsA3o=",
            "zbJnzkDFzUUwb6XS8pcxRZOH2/nrkzt71a7Zp2W4jU0=")


class Refused(Exception):
    pass


def need(holds):
    if not holds:
        raise Refused("payload")


def text(value, least=0, most=None):
    need(isinstance(value, str))
    need(least <= len(value.encode(errors="surrogatepass")) and (most is None or len(value.encode(errors="surrogatepass")) <= most))
    return value


def is_control(char):
    return ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0


def time(value):
    need(type(value) is int and 0 <= value < 2**53)
    return value


def hexadecimal(value, digits):
    need(isinstance(value, str) and re.fullmatch("[0-9a-f]{%d}" % digits, value))


def did(value):
    need(isinstance(value, str) and re.fullmatch("did:aip:[0-9a-f]{32}", value))


def content_type(value):
    need(isinstance(value, str) and re.fullmatch(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}", value))


def origin(value):
    text(value, 1, 255)
    need(not any(char.isspace() or is_control(char) or char == "+" for char in value))


def data(value):
    need(isinstance(value, str))
    try:
        decoded = base64.b64decode(value, validate=True)
    except ValueError:
        raise Refused("payload") from None
    need(base64.b64encode(decoded).decode() == value)
    return decoded


def members(value, required, optional=()):
    need(isinstance(value, dict) and set(required) <= set(value) <= {*required, *optional})


def unique(pairs):
    need(len(dict(pairs)) == len(pairs))
    return dict(pairs)


def check_attachments(attachments):
    need(isinstance(attachments, list) and 1 <= len(attachments) <= 16)
    total = 0
    for attachment in attachments:
        members(attachment, ("content", "contentType", "name"))
        total += len(data(attachment["content"]))
        content_type(attachment["contentType"])
        name = text(attachment["name"], 1, 128)
        need(not any(is_control(char) or char in "/\\:" for char in name))
        need(name[0] not in ".-" and name.strip() == name)
    need(total <= 65536 and len({attachment["name"] for attachment in attachments}) == len(attachments))


def check_artifacts(artifacts):
    need(isinstance(artifacts, list) and 1 <= len(artifacts) <= 64)
    for artifact in artifacts:
        members(artifact, ("name", "sha256"), ("entry",))
        need(not any(map(is_control, text(artifact["name"], 1, 1024))))
        hexadecimal(artifact["sha256"], 64)
        if "entry" in artifact:
            members(artifact["entry"], ("index", "origin"))
            time(artifact["entry"]["index"])
            origin(artifact["entry"]["origin"])


def check_statement(payload):
    try:
        said = json.loads(payload.decode(), object_pairs_hook=unique)
    except (ValueError, RecursionError):
        raise Refused("payload") from None
    members(said, ("body", "contentType", "created", "expires", "id", "key", "origin", "recipients", "sender"),
            ("artifacts", "attachments", "inReplyTo"))
    text(said["body"], 0, 65536)
    content_type(said["contentType"])
    need(1 <= time(said["expires"]) - time(said["created"]) <= WEEK)
    hexadecimal(said["id"], 32)
    need(len(data(said["key"])) == 32 and said["key"] not in BAD_KEYS)
    origin(said["origin"])
    need(isinstance(said["recipients"], list) and 1 <= len(said["recipients"]) <= 32)
    for recipient in said["recipients"]:
        did(recipient)
    need(said["recipients"] == sorted(set(said["recipients"])))
    did(said["sender"])
    if "inReplyTo" in said:
        hexadecimal(said["inReplyTo"], 32)
    if "attachments" in said:
        check_attachments(said["attachments"])
    if "artifacts" in said:
        check_artifacts(said["artifacts"])
    try:
        need(messages.canonical(said) == payload)
    except UnicodeEncodeError:
        raise Refused("payload") from None
    return said


def judge(payload, sender, recipient, message_id):
    """The first reason, or `accepted`. A key that is another one is not judged: that takes a curve."""
    try:
        said = check_statement(payload)
    except Refused as refused:
        return str(refused)
    key = messages.raw(sender.public_key())
    if said["key"] != base64.b64encode(key).decode():
        return None
    checks = (
        ("message-id", said["id"] == message_id.hex()),
        ("addressee", recipient in said["recipients"]),
        ("origin", said["origin"] == messages.ORIGIN),
        ("signer-key", said["sender"] == messages.did_of(key)),
        ("created", said["created"] <= messages.NOW + 300_000),
        ("expired", messages.NOW < said["expires"]),
    )
    return next((reason for reason, holds in checks if not holds), "accepted")


def good(chance, sender, recipient):
    statement = {
        "artifacts": [{"entry": {"index": 7, "origin": messages.ORIGIN}, "name": "app", "sha256": "0" * 64}],
        "attachments": [{"content": "AAAA", "contentType": "text/plain", "name": "a"}],
        "body": "done \u202e😀",
        "contentType": "text/plain",
        "created": messages.NOW - 1,
        "expires": messages.NOW + chance.choice((1000, 400_000)),
        "id": "5" * 32,
        "inReplyTo": "6" * 32,
        "key": base64.b64encode(messages.raw(sender.public_key())).decode(),
        "origin": messages.ORIGIN,
        "recipients": sorted((recipient, "did:aip:" + "7" * 32)),
        "sender": messages.did_of(messages.raw(sender.public_key())),
    }
    for member in ("artifacts", "attachments", "inReplyTo"):
        if chance.random() < 0.3:
            del statement[member]
    return statement


def places(value):
    """Every object and list in a value, and what it can be asked for."""
    if isinstance(value, (dict, list)):
        for name in value if isinstance(value, dict) else range(len(value)):
            yield value, name
            yield from places(value[name])


def mutate_value(chance, statement):
    holder, name = chance.choice(list(places(statement)))
    kind = chance.randrange(8)
    if kind == 0:
        del holder[name]
    elif kind == 1 and isinstance(holder, dict):
        holder[chance.choice(("x", "", "Body", "key", "name", "entry"))] = chance.choice(OTHERS)
    elif kind == 2 and isinstance(holder, list):
        holder.append(json.loads(json.dumps(holder[name])))
    elif kind == 3 and isinstance(holder, list):
        holder.extend([holder[name]] * chance.choice((16, 32, 63, 64)))
    elif name == "key":
        holder[name] = chance.choice(BAD_KEYS)
    elif isinstance(holder[name], int):
        holder[name] = chance.choice(TIMES)
    elif kind < 7:
        holder[name] = chance.choice(TEXTS)
    else:
        holder[name] = chance.choice(OTHERS)


def mutate_bytes(chance, payload):
    at, to = sorted((chance.randrange(len(payload)), chance.randrange(len(payload))))
    kind, piece = chance.randrange(5), bytes(chance.choices(b'"{}[],:0123456789abcdef\\ntu/ \n\xc3\xa9\xff', k=chance.randrange(1, 4)))
    if kind == 0:
        return payload[:at] + piece + payload[at:]
    if kind == 1:
        return payload[:at] + piece + payload[at + len(piece) :]
    if kind == 2:
        return payload[:at] + payload[at + 1 :]
    if kind == 3:
        return payload[:at] + payload[to:]
    return payload[:to] + payload[at:]


def write(seed, hpke):
    chance = random.Random(seed)
    sender, recipient, message_id = Ed25519PrivateKey.generate(), chance.randbytes(16), b"\x55" * 16
    written = 0
    while written < 5 * messages.COUNT:
        statement = good(chance, sender, "did:aip:" + recipient.hex())
        if written % 2 == 0:
            for _ in range(chance.choice((0, 1, 1, 1, 2))):
                mutate_value(chance, statement)
        try:
            payload = messages.canonical(statement)
        except UnicodeEncodeError:
            continue
        if written % 2 == 1:
            payload = mutate_bytes(chance, payload)
        reason = judge(payload, sender, "did:aip:" + recipient.hex(), message_id)
        if reason is None or not 0 < len(payload) <= 98236:
            continue
        line = messages.seal_payload(payload, sender, recipient, message_id, hpke)
        print(json.dumps({**line, "reason": reason}))
        written += 1
