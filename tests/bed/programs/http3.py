"""An HTTP/3 client: http3.py URL AUTHORITY METHOD:SIZE...

Makes all requests at once over one QUIC connection to a server that the certificates in the file
AUTHORITY vouch for: GET of URL/SIZE, PUT of SIZE zeros. Prints, for each, the status and the
SHA-256 digest of the body that came back.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from typing import Any
from urllib.parse import urlsplit

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, QuicEvent


class Answer:
    def __init__(self) -> None:
        self.status = ""
        self.digest = hashlib.sha256()
        self.whole: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def receive(self, event: HeadersReceived | DataReceived) -> None:
        if isinstance(event, HeadersReceived):
            self.status = dict(event.headers)[b":status"].decode()
        else:
            self.digest.update(event.data)
        if event.stream_ended:
            self.whole.set_result(f"{self.status} {self.digest.hexdigest()}")


class Client(QuicConnectionProtocol):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._http = H3Connection(self._quic)
        self._answers: dict[int, Answer] = {}

    def request(self, method: str, authority: str, size: int) -> asyncio.Future[str]:
        stream = self._quic.get_next_available_stream_id()
        answer = self._answers[stream] = Answer()
        path = f"/{size}" if method == "GET" else "/"
        head = {":method": method, ":scheme": "https", ":authority": authority, ":path": path}
        fields = [(name.encode(), value.encode()) for name, value in head.items()]
        self._http.send_headers(stream, fields, end_stream=method == "GET")
        if method == "PUT":
            self._http.send_data(stream, bytes(size), end_stream=True)
        self.transmit()
        return answer.whole

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ConnectionTerminated):
            for answer in self._answers.values():
                if not answer.whole.done():
                    answer.whole.set_result(f"terminated: {event.reason_phrase}")
        for found in self._http.handle_event(event):
            if isinstance(found, HeadersReceived | DataReceived):
                self._answers[found.stream_id].receive(found)


async def main(url: str, authority: str, requests: list[str]) -> None:
    where = urlsplit(url)
    assert where.hostname
    assert where.port
    configuration = QuicConfiguration(alpn_protocols=H3_ALPN, server_name=where.hostname)
    configuration.load_verify_locations(authority)
    async with connect(
        where.hostname, where.port, configuration=configuration, create_protocol=Client
    ) as client:
        assert isinstance(client, Client)
        answers = []
        for request in requests:
            method, _, size = request.partition(":")
            answers.append(client.request(method, where.netloc, int(size)))
        for answer in answers:
            print(await answer, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
