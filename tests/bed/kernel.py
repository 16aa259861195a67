"""The kernel's state as nft(8) and ip(8) tell it: the oracles of the tests."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
from typing import Any

PRISTINE_RULES = {4: [0, 32766, 32767], 6: [0, 32766]}  # priorities
PRISTINE_TABLES = {"main", "local", "default"}


def run(*argv: str, stdin: str | None = None) -> str:
    """Run a command that must succeed; its output."""
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr.strip()}"
    return done.stdout


def nft(script: str) -> None:
    """Load `script`, in nft's own syntax, as one transaction."""
    run("nft", "-f", "-", stdin=script)


def nft_listing(*what: str) -> str:
    """`nft list WHAT...`, the whole ruleset if not told; without counters' values and handles."""
    return run("nft", "--stateless", "list", *(what or ("ruleset",)))


def nft_json(*what: str) -> list[dict[str, Any]]:
    """The same as `nft_listing`, as nft's JSON objects."""
    answer = json.loads(run("nft", "--json", "--stateless", "list", *(what or ("ruleset",))))
    return list(answer["nftables"][1:])  # the first one only tells nft's version


def map_elements(name: str, table: str = "cgtproxy") -> dict[str, Any]:
    """Key to value, both as nft's JSON has them, of the map `name` of an inet table."""
    (listing,) = (entry["map"] for entry in nft_json("map", "inet", table, name))
    return {str(key): value for key, value in listing.get("elem", [])}


def ip_rules(family: int) -> list[dict[str, Any]]:
    """The policy-routing rules of `family` (4 or 6), by priority."""
    return list(json.loads(run("ip", f"-{family}", "-j", "rule", "show")))


def ip_routes(family: int, table: int | str) -> list[dict[str, Any]]:
    """The routes of one table; none if there is no such table."""
    routes = json.loads(run("ip", f"-{family}", "-j", "route", "show", "table", "all") or "[]")
    return [route for route in routes if str(route.get("table", "main")) == str(table)]


def traces() -> list[str]:
    """What this namespace holds that a fresh one does not: tables, ip rules, routes."""
    found = [f"nft table {t['table']['family']} {t['table']['name']}" for t in nft_json("tables")]
    for family, pristine in PRISTINE_RULES.items():
        rules = [rule for rule in ip_rules(family) if rule["priority"] not in pristine]
        found += [f"ip -{family} rule {rule}" for rule in rules]
        routes = json.loads(run("ip", f"-{family}", "-j", "route", "show", "table", "all") or "[]")
        tables = {str(route.get("table", "main")) for route in routes} - PRISTINE_TABLES
        found += [f"ip -{family} route table {table}" for table in sorted(tables)]
    return found


def forget_flows() -> None:
    """Empty conntrack, which else remembers a datagram's ports and its NAT for 30 seconds. Whoever
    gets such a port again is taken for who had it, so that once in many tests something else
    than the rules decides."""
    nfnetlink, delete, request = 12, 1 << 8 | 2, 1  # IPCTNL_MSG_CT_DELETE, of no flow in particular
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, nfnetlink) as netlink:
        netlink.send(struct.pack("=IHHIIBBH", 20, delete, request, 0, 0, 0, 0, 0))


def reset() -> None:
    """Remove all that `traces` reports, and what conntrack remembers."""
    forget_flows()
    for entry in nft_json("tables"):
        run("nft", "delete", "table", entry["table"]["family"], entry["table"]["name"])
    for family, pristine in PRISTINE_RULES.items():
        for rule in ip_rules(family):
            if rule["priority"] not in pristine:
                run("ip", f"-{family}", "rule", "del", "priority", str(rule["priority"]))
        for trace in traces():
            if trace.startswith(f"ip -{family} route"):
                run("ip", f"-{family}", "route", "flush", "table", trace.split()[-1])


def verdicts() -> dict[int, str]:
    """The map of the daemon's table: cgroup id to verdict.

    Where nft finds no cgroups it prints their ids, not the paths: these need not be UTF-8, and
    to find one it reads the whole tree, for each of its elements.
    """
    return {int(key): next(iter(value)) for key, value in _by_id("map", "cgroup-vmap")}


def ancestors() -> set[int]:
    """The ids of the cgroups that the daemon's table has as those with elements below them."""
    return {int(key) for key in _by_id("set", "ancestors")}


def _by_id(kind: str, name: str) -> list[Any]:
    """The elements of a map or set of the daemon's table, with ids instead of paths."""
    hide = ("unshare", "--mount", "sh", "-c", 'umount /sys/fs/cgroup && exec "$@"', "sh")
    listing = run(*hide, "nft", "--json", "list", kind, "inet", "cgtproxy", name)
    (found,) = (entry[kind] for entry in json.loads(listing)["nftables"] if kind in entry)
    return list(found.get("elem", []))


def daemons_table() -> list[tuple[str, dict[str, Any]]]:
    """Its objects, without handles and its flags; what has no order is sorted."""
    objects = []
    for entry in nft_json("table", "inet", "cgtproxy"):
        ((kind, values),) = entry.items()
        left_out = ("handle", "flags") if kind == "table" else ("handle",)
        values = {key: value for key, value in values.items() if key not in left_out}
        if "elem" in values:
            values["elem"] = sorted(map(str, values["elem"]))
        objects.append((kind, values))
    return objects
