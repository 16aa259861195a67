"""The configuration file: its model, its schema, and how it is read."""

from cgtproxy.config.faults import ConfigError, Fault
from cgtproxy.config.parser import Parsed, parse
from cgtproxy.config.schema import json_schema
from cgtproxy.config.source import BUILTIN, find, load

__all__ = ["BUILTIN", "ConfigError", "Fault", "Parsed", "find", "json_schema", "load", "parse"]
