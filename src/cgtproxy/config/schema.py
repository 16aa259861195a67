"""JSON Schema of the configuration file, for editors."""

from __future__ import annotations

from cgtproxy.config.keys import FILE
from cgtproxy.config.value import Schema


def json_schema() -> Schema:
    """The schema, in draft 7: what the language servers for YAML understand.

    It cannot tell what depends on two keys (marks used twice, rules that name no TPROXY), nor
    RE2's syntax; a file may hold what it accepts and still be refused.
    """
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "cgtproxy configuration",
        **FILE.schema,
    }
