#!/usr/bin/env python3
"""Validates inventories against the JSON Schema with an independent implementation.

    python3 -m venv venv && venv/bin/pip install jsonschema pyyaml
    cargo run -p keddah-inventory --example schema > schema.json
    venv/bin/python crates/keddah-inventory/tests/validate_schema.py schema.json INVENTORY...
"""

import json
import sys

import jsonschema
import yaml

schema = json.load(open(sys.argv[1]))
jsonschema.Draft7Validator.check_schema(schema)
validator = jsonschema.Draft7Validator(schema, format_checker=jsonschema.FormatChecker())

# The schema must be able to refuse, otherwise agreement says nothing.
for wrong in [
    {"all": {"vars": {"pg_verison": 18}}},
    {"all": {"vars": {"pg_port": "x"}}},
    {"all": {"vars": {"pg_users": [{"nam": "x"}]}}},
    {"all": {"host": {}}},
]:
    assert list(validator.iter_errors(wrong)), wrong

failures = 0
for path in sys.argv[2:]:
    # A round trip through JSON turns YAML's integer keys into texts, as an editor sees them.
    inventory = json.loads(json.dumps(yaml.safe_load(open(path)), default=str))
    for error in validator.iter_errors(inventory):
        failures += 1
        print(f"{path}: {list(error.absolute_path)}: {error.message[:200]}")
sys.exit(1 if failures else 0)
