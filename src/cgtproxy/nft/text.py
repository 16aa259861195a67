"""The table in nft's own syntax."""

from __future__ import annotations

from typing import TypeAlias

from cgtproxy.nft.model import TABLE, Chain, Element, Set, Table

# By the name of a set that changes: whether nft can read the element, and its text.
Members: TypeAlias = dict[str, list[tuple[bool, str]]]


def render(table: Table, members: Members) -> str:
    """The whole table as `nft -f` reads it; what it cannot read becomes comments."""
    lines = [f"table inet {TABLE} {{"]
    for item in table.sets:
        elements = [(True, _element(element)) for element in item.elements if not element.end]
        lines += _block(_set_lines(item, elements or members.get(item.name, [])))
    for chain in table.chains:
        lines += _block(_chain_lines(chain))
    return "\n".join([*lines, "}", ""])


def _block(lines: list[str]) -> list[str]:
    head, *body = lines
    return [f"\t{head} {{", *(f"\t\t{line}" for line in body), "\t}", ""]


def _set_lines(item: Set, elements: list[tuple[bool, str]]) -> list[str]:
    lines = [f"{'map' if item.is_map else 'set'} {item.name}"]
    lines.append(f"type {item.key}{' : verdict' if item.is_map else ''}")
    flags = ["constant"] * item.constant + ["interval"] * item.interval
    if flags:
        lines.append(f"flags {','.join(flags)}")
    lines += [f"# {text}" for readable, text in elements if not readable]
    listed = [f"\t{text}," for readable, text in elements if readable]
    return lines + (["elements = {", *listed, "}"] if listed else [])


def _element(element: Element) -> str:
    if element.verdict is None:
        return element.text
    return f"{element.text} : {' '.join(element.verdict).strip()}"


def _chain_lines(chain: Chain) -> list[str]:
    lines = [f"chain {chain.name}"]
    if chain.hook:
        hook = chain.hook
        lines.append(f"type {hook.kind} hook {hook.name} priority {hook.priority}; policy accept;")
    return lines + [" ".join(statement.text for statement in rule) for rule in chain.rules]
