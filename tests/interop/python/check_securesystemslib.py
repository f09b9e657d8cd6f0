"""Verifies the DSSE envelopes of our receipts with securesystemslib. Usage: ... SCENE"""

import base64
import copy
import sys

from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

from scene import Scene, refuses

# This library only tries keys whose id the signature names; our envelopes, as stock cosign wants them, name none.
KEY_ID = "receipt"


def verify(envelope, raw_key):
    named = copy.deepcopy(envelope)
    for signature in named["signatures"]:
        assert set(signature) == {"sig"}, f"a signature with the members {sorted(signature)}"
        signature["keyid"] = KEY_ID
    key = SSlibKey(KEY_ID, "ed25519", "ed25519", {"public": raw_key.hex()})
    Envelope.from_dict(named).verify([key], 1)


def flip(text):
    data = bytearray(base64.b64decode(text))
    data[len(data) // 2] ^= 1
    return base64.b64encode(data).decode()


receipts = Scene(sys.argv[1]).receipts()
for receipt in receipts:
    envelope, key = receipt["envelope"], base64.b64decode(receipt["publicKey"])
    verify(envelope, key)
    signature = envelope["signatures"][0]["sig"]
    for what, altered, with_key in [
        ("an altered payload", dict(envelope, payload=flip(envelope["payload"])), key),
        ("another payload type", dict(envelope, payloadType="text/plain"), key),
        ("an altered signature", dict(envelope, signatures=[{"sig": flip(signature)}]), key),
        ("another key", envelope, bytes([key[0] ^ 1]) + key[1:]),
    ]:
        refuses(what, lambda: verify(altered, with_key), VerificationError)
print(f"DSSE envelopes of {len(receipts)} receipts verified with their public key; "
      "altered payload, payload type, signature, key refused")
