"""Validates the log's /openapi.json with openapi-spec-validator. Usage: ... SCENE"""

import copy
import json
import sys

from openapi_spec_validator import validate
from openapi_spec_validator.validation.exceptions import OpenAPIValidationError

from scene import Scene, refuses

scene = Scene(sys.argv[1])
spec = json.loads(scene.get(scene.url, "openapi.json"))
try:
    validate(spec)
except OpenAPIValidationError as error:
    raise SystemExit(f"{'/'.join(map(str, error.absolute_path))}: {error.message}")

without_title = copy.deepcopy(spec)
del without_title["info"]["title"]
wrong_method = copy.deepcopy(spec)
operations = next(iter(wrong_method["paths"].values()))
operations[next(iter(operations))] = {"responses": "none"}
for what, wrong in [("a missing title", without_title), ("an operation without responses", wrong_method)]:
    refuses(what, lambda: validate(wrong), OpenAPIValidationError)
print(f"OpenAPI {spec['openapi']}, {len(spec['paths'])} paths valid; missing title, wrong responses refused")
