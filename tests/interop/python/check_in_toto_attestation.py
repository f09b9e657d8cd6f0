"""Validates the Statements of our receipts with in-toto-attestation. Usage: ... SCENE"""

import base64
import collections
import copy
import json
import sys

from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as StatementProto

from scene import Scene, refuses

PROVENANCE = "https://slsa.dev/provenance/v1"


def validate(statement):
    """Unknown members are errors: the parser knows exactly the fields of the published schema."""
    Statement.copy_from_pb(json_format.ParseDict(statement, StatementProto())).validate()
    if statement["predicateType"] == PROVENANCE:
        json_format.ParseDict(statement["predicate"], Provenance())


def altered(statement):
    def change(member, value):
        return dict(copy.deepcopy(statement), **{member: value})

    subject = statement["subject"][0]
    yield "another statement type", change("_type", "https://in-toto.io/Statement/v0")
    yield "no predicate type", change("predicateType", "")
    yield "an empty predicate", change("predicate", {})
    yield "no subject", change("subject", [])
    yield "a subject without digest", change("subject", [{"name": subject["name"], "digest": {}}])
    yield "an unknown member", change("extra", 1)


kinds = collections.Counter()
for receipt in Scene(sys.argv[1]).receipts():
    statement = json.loads(base64.b64decode(receipt["envelope"]["payload"]))
    validate(statement)
    kinds[statement["predicateType"]] += 1
    for what, wrong in altered(statement):
        refuses(what, lambda: validate(wrong), (ValueError, json_format.ParseError))
print("Statements validated (" + ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) +
      "); wrong type, subject, digest, predicate type, predicate, unknown member refused")
