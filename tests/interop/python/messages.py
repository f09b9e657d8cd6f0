"""Sealed messages by pyhpke and legacy boxes by PyNaCl, in the lines of tests/src/bin/message_interop.rs.

Usage: messages.py seal|open|box|unbox|mutate. It shares nothing with our code: the layout is that of specs/message.md.
"""

import base64
import hashlib
import json
import os
import sys

import mutated
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

COUNT = 1000
ORIGIN = "interop.example/log"
NOW = 1_790_000_000_000
TYPE = "application/vnd.aip.message.v2+json"
FRAMES = (1024, 2048, 4096, 8192, 16384, 32768, 65536, 98304)
BODIES = (0, 1000, 2500, 6000, 14000, 30000, 60000, 65000)


def did_of(key):
    return "did:aip:" + hashlib.sha256(key).hexdigest()[:32]


def raw(public):
    return public.public_bytes(Encoding.Raw, PublicFormat.Raw)


def pae(payload):
    return b"DSSEv1 %d %s %d " % (len(TYPE), TYPE.encode(), len(payload)) + payload


def suite():
    from pyhpke import AEADId, CipherSuite, KDFId, KEMId

    return CipherSuite.new(KEMId.DHKEM_X25519_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId.CHACHA20_POLY1305)


def flip(number, data):
    bit = number * 7919 % (8 * len(data))
    altered = bytearray(data)
    altered[bit // 8] ^= 1 << bit % 8
    return bytes(altered)


def canonical(statement):
    return json.dumps(statement, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def seal_payload(payload, sender, recipient, message_id, hpke):
    """The line of a payload, whatever it says."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from pyhpke import KEMKey

    private = X25519PrivateKey.generate()
    plaintext = len(payload).to_bytes(4, "big") + sender.sign(pae(payload)) + payload
    plaintext += bytes(next(frame for frame in FRAMES if frame >= len(plaintext)) - len(plaintext))
    public = private.public_key()
    header = b"AIPM2\1" + recipient + hashlib.sha256(raw(public)).digest()[:16] + message_id
    enc, context = hpke.create_sender_context(KEMKey.from_pyca_cryptography_key(public), info=b"aip-msg/v2")
    return {
        "privateKey": private.private_bytes_raw().hex(),
        "recipient": "did:aip:" + recipient.hex(),
        "payload": payload.decode(errors="replace"),
        "sealed": base64.b64encode(header + enc + context.seal(plaintext, aad=header)).decode(),
    }


def seal(number, hpke):
    sender = Ed25519PrivateKey.generate()
    recipient = os.urandom(16)
    size = BODIES[number % 8]
    attached = b"\7" * 20000 if size == 65000 else b"\1" * (number % 7)
    statement = {
        "attachments": [
            {
                "content": base64.b64encode(attached).decode(),
                "contentType": "application/octet-stream",
                "name": f"é{number}.bin",
            }
        ],
        "body": f"#{number} \x1b[0m\u202e😀\"\\\n" + "x" * size,
        "contentType": "text/plain",
        "created": NOW,
        "expires": NOW + 1000,
        "id": os.urandom(16).hex(),
        "key": base64.b64encode(raw(sender.public_key())).decode(),
        "origin": ORIGIN,
        "recipients": ["did:aip:" + recipient.hex()],
        "sender": did_of(raw(sender.public_key())),
    }
    return seal_payload(canonical(statement), sender, recipient, bytes.fromhex(statement["id"]), hpke)


def open_sealed(sealed, line, hpke):
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from pyhpke import KEMKey

    private = X25519PrivateKey.from_private_bytes(bytes.fromhex(line["privateKey"]))
    header, enc, ciphertext = sealed[:54], sealed[54:86], sealed[86:]
    key_id = hashlib.sha256(raw(private.public_key())).digest()[:16]
    assert header[:22] == b"AIPM2\1" + bytes.fromhex(line["recipient"][8:]), "another magic, suite or recipient"
    assert header[22:38] == key_id, "another key"
    context = hpke.create_recipient_context(enc, KEMKey.from_pyca_cryptography_key(private), info=b"aip-msg/v2")
    plaintext = context.open(ciphertext, aad=header)
    length = int.from_bytes(plaintext[:4], "big")
    signature, payload, padding = plaintext[4:68], plaintext[68 : 68 + length], plaintext[68 + length :]
    assert len(plaintext) == min(frame for frame in FRAMES if frame >= 68 + length), "not the smallest frame"
    assert not any(padding), "padding"
    assert payload.decode() == line["payload"], "another payload"
    statement = json.loads(payload)
    assert canonical(statement) == payload, "not canonical"
    key = base64.b64decode(statement["key"], validate=True)
    Ed25519PublicKey.from_public_bytes(key).verify(signature, pae(payload))
    assert statement["sender"] == did_of(key), "another sender"
    assert statement["id"] == header[38:].hex() and statement["recipients"] == [line["recipient"]]


def make_box(number, _):
    from nacl.public import SealedBox
    from nacl.signing import SigningKey

    sender, recipient = SigningKey.generate(), SigningKey.generate()
    dids = did_of(bytes(sender.verify_key)), did_of(bytes(recipient.verify_key))
    text = f"#{number} 😀 " + "x" * number
    box = SealedBox(recipient.verify_key.to_curve25519_public_key()).encrypt(text.encode())
    content, timestamp = base64.b64encode(box).decode(), "2026-09-21T14:13:20.123456+00:00"
    signed = "|".join((*dids, timestamp, content)).encode()
    return {
        "seed": bytes(recipient).hex(),
        "sender": dids[0],
        "recipient": dids[1],
        "senderKey": base64.b64encode(bytes(sender.verify_key)).decode(),
        "text": text,
        "encrypted_content": content,
        "timestamp": timestamp,
        "signature": base64.b64encode(sender.sign(signed).signature).decode(),
    }


def open_box(box, line, _):
    from nacl.public import SealedBox
    from nacl.signing import SigningKey, VerifyKey

    content = base64.b64encode(box).decode()
    signed = "|".join((line["sender"], line["recipient"], line["timestamp"], content)).encode()
    recipient = SigningKey(bytes.fromhex(line["seed"]))
    text = SealedBox(recipient.to_curve25519_private_key()).decrypt(box)
    assert text.decode() == line["text"], "another text"
    VerifyKey(base64.b64decode(line["senderKey"])).verify(signed, base64.b64decode(line["signature"]))


def write(make, context):
    for number in range(COUNT):
        print(json.dumps(make(number, context)))


def read(check, member, context):
    count = 0
    for count, text in enumerate(sys.stdin, 1):
        line = json.loads(text)
        data = base64.b64decode(line[member], validate=True)
        check(data, line, context)
        try:
            check(flip(count - 1, data), line, context)
        except Exception:
            continue
        sys.exit(f"line {count}: an altered one was accepted")
    if count != COUNT:
        sys.exit(f"{count} lines")


def main():
    command = sys.argv[1]
    if command == "seal":
        write(seal, suite())
    elif command == "open":
        read(open_sealed, "sealed", suite())
    elif command == "mutate":
        mutated.write(int(sys.argv[2]), suite())
    elif command == "box":
        write(make_box, None)
    else:
        read(open_box, "encrypted_content", None)


if __name__ == "__main__":
    main()
