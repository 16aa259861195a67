"""`cgtproxy config schema`"""

from __future__ import annotations

import json

from cgtproxy.config.schema import json_schema


def schema() -> int:
    """Print the JSON Schema of the configuration file; the exit code."""
    print(json.dumps(json_schema(), indent=2))
    return 0
