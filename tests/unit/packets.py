"""What a table does to a packet, told by reading its rules as nft(8) would: an oracle."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from cgtproxy.cgroup.tree import Cgroup
from cgtproxy.nft.decision import ANCESTOR_SET, CGROUP_MAP
from cgtproxy.nft.model import Chain, Table
from cgtproxy.nft.state import State
from unit.configurations import ancestors


@dataclass(repr=False)
class Packet:
    """A packet that a process in `cgroup` sends; `destination` and `mark` may change on its way.

    `answer`: its connection was opened by the other side; `translated`: its connection's
    destination was changed when it was opened; `mark`: its socket has one; `connection_mark`: of
    the connection, if it has one yet; `open`: its socket is, else the kernel itself sends it, in
    the name of the root; `new`: the first of its connection; `invalid`: of none that conntrack
    knows; `foreign`: a TPROXY server sends it, in another's name, so it is not tracked. The `port`
    of an ICMP error is that from which came what it is about.
    """

    cgroup: Cgroup
    protocol: str
    destination: IPv4Address | IPv6Address
    port: int
    answer: bool = False
    translated: bool = False
    mark: int = 0
    connection_mark: int = 0
    open: bool = True
    new: bool = True
    invalid: bool = False
    foreign: bool = False
    zone: int = 0
    tproxy_port: int = 0

    def __repr__(self) -> str:
        to = f"{self.protocol} {self.destination} port {self.port}"
        flags = ("answer", "translated", "open", "new", "invalid", "foreign")
        options = "".join(f" {flag}" for flag in flags if getattr(self, flag))
        by = f"{self.cgroup.path!r} ({self.cgroup.decision})"
        return f"<{by}: {to}{options}, connection mark {self.connection_mark}>"


network = cache(ip_network)


class Machine:
    """Runs packets through the chains of a state; `look_ups` counts those by cgroup."""

    def __init__(self, state: State) -> None:
        assert state.table is not None
        self.table: Table = state.table
        self.chains = {chain.name: chain for chain in self.table.chains}
        self.constant = {item.name: item.elements for item in self.table.sets}
        self.elements = state.elements
        self.ancestors = state.ancestors
        self.look_ups = 0

    def run(self, chain: str, packet: Packet) -> str:
        """The verdict of a base chain, whose policy is accept."""
        return self._run(self.chains[chain], packet) or "accept"

    def _run(self, chain: Chain, packet: Packet) -> str:
        """accept or drop; "" where the chain is left at its end or by return."""
        for rule in chain.rules:
            for statement in rule:
                verdict = self._statement(statement.text, packet)
                if verdict == "break":
                    break
                code, _, target = verdict.partition(" ")
                if code in ("accept", "drop"):
                    return code
                if code == "return":
                    return ""
                if code in ("goto", "jump"):
                    final = self._run(self.chains[target], packet)
                    if final or code == "goto":
                        return final
        return ""

    def _statement(self, text: str, packet: Packet) -> str:
        """A verdict; "break" where the packet does not match, "" where the rule goes on."""
        words = text.split()
        self.look_ups += words[0] == "socket"
        match words:
            case ["accept" | "drop" | "return"] | ["goto" | "jump", _]:
                return text
            case ["socket", "cgroupv2", "level", level, "vmap", name]:
                assert name == f"@{CGROUP_MAP}"
                key = self._ancestor(packet, int(level))
                return self.elements[key].verdict if key in self.elements else "break"
            case ["meta", "mark", "vmap", name]:
                verdicts = {int(e.text, 16): e.verdict for e in self.constant[name[1:]]}
                found = verdicts.get(packet.mark)
                return " ".join(found) if found else "break"
            case ["reject", *_]:
                return "drop"
        go_on = self._changes(words, packet) or self._matches(words, packet)
        return "" if go_on else "break"

    @staticmethod
    def _changes(words: list[str], packet: Packet) -> bool:
        """Whether this is a statement that changes the packet, which is then done."""
        match words:
            case ["meta", "mark", "set", "ct", "mark"]:
                packet.mark = packet.connection_mark
            case ["ct", "original", "zone", "set", number]:
                packet.zone = int(number)
            case ["ct", "mark", "set", value]:
                packet.connection_mark = int(value, 16)
            case ["meta", "mark", "set", value]:
                packet.mark = int(value, 16)
            case ["notrack"]:
                packet.new = False
            case ["tproxy", "to", port]:
                packet.tproxy_port = int(port[1:])
            case ["dnat", "ip" | "ip6", "to", server]:
                address, _, port = server.rpartition(":")
                packet.destination = ip_address(address.strip("[]"))
                packet.port = int(port)
            case _:
                return False
        return True

    def _matches(self, words: list[str], packet: Packet) -> bool:
        match words:
            case ["socket", "cgroupv2", "level", level, name]:
                key = self._ancestor(packet, int(level))
                if name == f"@{ANCESTOR_SET}":
                    return key in self.ancestors
                return key in self.elements and self.elements[key].set_name == name[1:]
            case ["iif" | "oif", '"lo"']:
                return True
            case ["meta", "mark", value]:
                return packet.mark == int(value, 16)
        return self._flow_matches(words, packet)

    def _flow_matches(self, words: list[str], packet: Packet) -> bool:
        match words:
            case ["ct", "direction", "reply"]:
                return packet.answer
            case ["ct", "status", "dnat"]:
                return packet.translated
            case ["ct", "state", "!=", "new"]:
                return not packet.new
            case ["fib", "saddr", "type", "!=", "local"] | ["ct", "state", "untracked"]:
                return packet.foreign
            case ["ct", "state", "invalid"]:
                return packet.invalid
            case ["ct", "mark", "!=", value]:
                return packet.connection_mark != int(value, 16)
            case ["ct", "mark", name]:
                marks = [int(e.text, 16) for e in self.constant[name[1:]]]
                return packet.connection_mark in marks
            case ["meta", "skuid", "!=", "4294967295"]:
                return packet.open
        return self._header_matches(words, packet)

    def _header_matches(self, words: list[str], packet: Packet) -> bool:
        version = packet.destination.version
        match words:
            case ["meta", "nfproto", family]:
                return family == f"ipv{version}"
            case ["meta", "l4proto", "!=", name]:
                return packet.protocol not in [e.text for e in self.constant[name[1:]]]
            case ["meta", "l4proto", protocol, "@th,224,16" | "@th,384,16", port]:
                return packet.protocol == protocol and packet.port == int(port)
            case ["meta", "l4proto", protocol]:
                return packet.protocol == protocol
            case ["tcp" | "udp" as protocol, "dport", port]:
                return packet.protocol == protocol and packet.port == int(port)
            case ["ip" | "ip6" as family, "daddr", where]:
                return family == {4: "ip", 6: "ip6"}[version] and self._within(packet, where)
        raise AssertionError(f"a statement that this oracle does not know: {' '.join(words)}")

    def _within(self, packet: Packet, where: str) -> bool:
        if not where.startswith("@"):
            return packet.destination in network(where)
        blocks = [e.text for e in self.constant[where[1:]] if not e.end]
        return any(packet.destination in network(block) for block in blocks)

    @staticmethod
    def _ancestor(packet: Packet, level: int) -> int | None:
        return next((c.id for c in ancestors(packet.cgroup) if c.level == level), None)
