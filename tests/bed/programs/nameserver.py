"""A DNS server on loopback, with a TTL of 1 second and nothing but A and AAAA.

    nameserver.py ADDRESS PORT

Each line of stdin, "NAME ADDRESS...", gives a name its addresses; the others do not exist. Tells of
each query: "NAME TYPE".
"""

from __future__ import annotations

import socket
import sys
import threading

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

KINDS = {dns.rdatatype.A: ".", dns.rdatatype.AAAA: ":"}


def read(names: dict[str, list[str]]) -> None:
    for line in sys.stdin:
        name, *addresses = line.split()
        names[name] = addresses
        print("has", name, flush=True)


def answer(query: dns.message.Message, names: dict[str, list[str]]) -> bytes:
    reply = dns.message.make_response(query)
    question = query.question[0]
    name, kind = question.name.to_text(omit_final_dot=True).lower(), question.rdtype
    print(name, dns.rdatatype.to_text(kind), flush=True)
    if name not in names:
        reply.set_rcode(dns.rcode.NXDOMAIN)
    found = [address for address in names.get(name, ()) if KINDS.get(kind, "none") in address]
    if found:
        reply.answer.append(dns.rrset.from_text(question.name, 1, "IN", kind, *found))
    return reply.to_wire(want_shuffle=False)


def main(host: str, port: str) -> None:
    names: dict[str, list[str]] = {}
    threading.Thread(target=read, args=(names,), daemon=True).start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((host, int(port)))
        print("ready", flush=True)
        while True:
            data, peer = sock.recvfrom(4096)
            sock.sendto(answer(dns.message.from_wire(data), names), peer)


if __name__ == "__main__":
    main(*sys.argv[1:])
