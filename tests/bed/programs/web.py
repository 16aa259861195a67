"""A web server whose bytes can be checked: HTTP/1.1 (also without TLS), HTTP/2 and HTTP/3.

    web.py PLAIN-PORT TLS-PORT CERTIFICATE KEY

GET /SIZE gives so many bytes, those of `content`; PUT gives the SHA-256 digest of its
body. HTTP/3 is on the UDP port with the number of the TLS port.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from functools import lru_cache
from typing import Any

from hypercorn.asyncio import serve
from hypercorn.config import Config

PIECE = 65536


@lru_cache(10)
def content(size: int) -> bytes:
    return hashlib.shake_256(str(size).encode()).digest(size)


async def answer_put(receive: Any) -> bytes:
    digest = hashlib.sha256()
    more = True
    while more:
        event = await receive()
        if event["type"] != "http.request":  # the client has gone
            break
        digest.update(event["body"])
        more = event["more_body"]
    return digest.hexdigest().encode()


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    if scope["method"] == "PUT":
        body = await answer_put(receive)
    else:
        body = content(int(scope["path"].lstrip("/")))
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for begin in range(0, len(body), PIECE):
        piece = body[begin : begin + PIECE]
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def main(plain: str, tls: str, certificate: str, key: str) -> None:
    config = Config()
    config.insecure_bind = [f"[::]:{plain}"]
    config.bind = config.quic_bind = [f"[::]:{tls}"]
    config.certfile, config.keyfile = certificate, key
    config.backlog, config.graceful_timeout = 1024, 0
    await serve(app, config)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
