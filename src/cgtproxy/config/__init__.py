"""The configuration file: its model, its schema, and how it is read.

`compose` makes YAML nodes of the text. `keys` says what they may hold: each mapping becomes a
section, whose values have their positions. `checks` compares values; without faults the sections
build the `model`, and `warnings` tells what is likely a mistake. `parser` is the order of all this.
"""
