# SPDX-License-Identifier: Apache-2.0
"""Sends requests of many shapes with one of Python's HTTP clients to the URL given, for the benign corpus."""

# Each client is imported where it is used: the recorder names those that are missing.
# mypy: ignore-errors

from __future__ import annotations

import asyncio
import contextlib
import http.client
import io
import sys
import urllib.error
import urllib.parse
import urllib.request

PATHS = [
    "/plain",
    "/caf%C3%A9/na%20me?q=%E2%82%AC&x[]=1",
    "/a;b=c/d,e/@f:g!$&'()*+=",
    "/redirect",
    "/cookies",
    "/~user/.well-known/x",
]
FIELDS = {
    "Accept": "text/html, */*;q=0.1",
    "Range": "bytes=0-99",
    "If-None-Match": '"a"',
    "X-Empty": "",
    "Authorization": "Basic dXNlcjpwYXNz",
}
JSON = b'{"name": "tide"}'


def chunks():
    yield b"unknown "
    yield b"length"


def with_urllib(base: str) -> None:
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    requests = [urllib.request.Request(base + path) for path in PATHS]
    requests += [
        urllib.request.Request(base + "/m", method=method) for method in ("HEAD", "DELETE", "OPTIONS")
    ]
    requests += [
        urllib.request.Request(base + "/m", data=JSON, method=method) for method in ("POST", "PUT", "PATCH")
    ]
    requests.append(
        urllib.request.Request(base + "/form", data=urllib.parse.urlencode({"a": 1, "b": "é"}).encode())
    )
    requests.append(urllib.request.Request(base + "/fields", headers=FIELDS))
    requests.append(urllib.request.Request(base + "/chunked", data=chunks(), method="POST"))
    requests.append(urllib.request.Request(base + "/empty", data=b"", method="POST"))
    for request in requests:
        with contextlib.suppress(urllib.error.HTTPError), opener.open(request, timeout=5) as response:
            response.read()


def with_http_client(base: str) -> None:
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(base).netloc, timeout=5)

    def send(*arguments, **options):
        connection.request(*arguments, **options)
        connection.getresponse().read()

    for path in PATHS:
        send("GET", path)
    for method in ("HEAD", "DELETE", "OPTIONS", "PROPFIND", "REPORT"):
        send(method, "/m")
    for method in ("POST", "PUT", "PATCH"):
        send(method, "/m", body=JSON, headers={"Content-Type": "application/json"})
    send("POST", "/chunked", body=chunks(), encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
    send("POST", "/file", body=io.BytesIO(b"a file"))
    send("GET", "/fields", headers=FIELDS)
    send("GET", "/close", headers={"Connection": "close"})
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(base).netloc, timeout=5)
    connection._http_vsn, connection._http_vsn_str = 10, "HTTP/1.0"
    send("GET", "/old")


def with_requests(base: str) -> None:
    import requests

    session = requests.Session()
    for path in PATHS:
        session.get(base + path, timeout=5)
    for method in ("HEAD", "DELETE", "OPTIONS", "PURGE", "get"):
        session.request(method, base + "/m", timeout=5)
    for method in ("POST", "PUT", "PATCH"):
        session.request(method, base + "/m", json={"a": "é"}, timeout=5)
    session.post(base + "/form", data={"a": 1, "b": "é&="}, timeout=5)
    session.post(
        base + "/upload",
        files={"file": ("übung.txt", b"file body", "text/plain")},
        data={"x": "y"},
        timeout=5,
    )
    session.post(base + "/chunked", data=chunks(), timeout=5)
    session.post(base + "/empty", timeout=5)
    session.get(base + "/fields", headers=FIELDS, timeout=5)
    session.get(base + "/query", params={"a": [1, 2], "b": "ü x"}, timeout=5)
    session.get(base + "/auth", auth=("user", "pass"), timeout=5)
    session.get(base + "/cookie", cookies={"a": "b", "c": '"q"'}, timeout=5)
    session.get(base + "/café/名前", timeout=5)
    session.post(base + "/redirect307", data=b"again", timeout=5)
    requests.get("http://shop.example/through?proxy=1", proxies={"http": base}, timeout=5)
    requests.post("http://shop.example:8080/through", data=b"x", proxies={"http": base}, timeout=5)


def with_httpx(base: str) -> None:
    import httpx

    with httpx.Client(timeout=5, follow_redirects=True) as client:
        for path in PATHS:
            client.get(base + path)
        for method in ("HEAD", "DELETE", "OPTIONS", "QUERY"):
            client.request(method, base + "/m")
        for method in ("POST", "PUT", "PATCH"):
            client.request(method, base + "/m", json={"a": "é"})
        client.post(base + "/form", data={"a": "1", "b": "é&="})
        client.post(
            base + "/upload", files={"file": ("übung.txt", b"file body", "text/plain")}, data={"x": "y"}
        )
        client.post(base + "/chunked", content=chunks())
        client.post(base + "/empty")
        client.get(base + "/fields", headers=FIELDS)
        client.get(base + "/query", params={"a": ["1", "2"], "b": "ü x"})
        client.get(base + "/café/名前")
        client.get(base + "/auth", auth=("user", "pass"))
        client.get(base + "/cookie", headers={"Cookie": "a=b; c=d"})
    with httpx.Client(proxy=base, timeout=5) as client:
        client.get("http://shop.example/through?proxy=1")


def with_urllib3(base: str) -> None:
    import urllib3

    pool = urllib3.PoolManager(timeout=5)
    for path in PATHS:
        pool.request("GET", base + path)
    for method in ("HEAD", "DELETE", "OPTIONS"):
        pool.request(method, base + "/m")
    for method in ("POST", "PUT", "PATCH"):
        pool.request(method, base + "/m", body=JSON)
    pool.request("POST", base + "/form", fields={"a": "1", "file": ("übung.txt", "file body")})
    pool.request("POST", base + "/chunked", body=chunks())
    pool.request("POST", base + "/chunked", body=b"forced", chunked=True)
    pool.request("GET", base + "/fields", headers=FIELDS)
    pool.request(
        "GET",
        base + "/accept",
        headers=urllib3.make_headers(keep_alive=True, accept_encoding=True, user_agent="x"),
    )


def with_aiohttp(base: str) -> None:
    asyncio.run(_aiohttp(base))


async def _aiohttp(base: str) -> None:
    import aiohttp

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(5)) as session:

        async def send(method, path, **options):
            with contextlib.suppress(aiohttp.ClientError):
                async with session.request(method, base + path, **options) as response:
                    await response.read()

        async def streamed():
            for chunk in chunks():
                yield chunk

        for path in PATHS:
            await send("GET", path)
        for method in ("HEAD", "DELETE", "OPTIONS", "PROPFIND"):
            await send(method, "/m")
        for method in ("POST", "PUT", "PATCH"):
            await send(method, "/m", json={"a": "é"})
        form = aiohttp.FormData()
        form.add_field("file", b"file body", filename="übung.txt")
        form.add_field("x", "y")
        await send("POST", "/upload", data=form)
        await send("POST", "/form", data={"a": "1", "b": "é&="})
        await send("POST", "/chunked", data=streamed())
        await send("POST", "/expect", data=b"expected", expect100=True)
        await send("POST", "/empty")
        await send("POST", "/deflated", data=b"compressed" * 50, compress="deflate")
        await send("GET", "/fields", headers=FIELDS)
        await send("GET", "/café/名前?q=ü")
        await send("GET", "/cookie", cookies={"a": "b"})
        with contextlib.suppress(aiohttp.ClientError):
            async with session.ws_connect(base + "/socket", protocols=["chat"]) as socket:
                await socket.close()
    async with aiohttp.ClientSession(version=aiohttp.HttpVersion10) as session:
        async with session.get(base + "/old") as response:
            await response.read()
        async with session.post(base + "/old", data=b"body") as response:
            await response.read()


def with_websockets(base: str) -> None:
    import websockets.sync.client

    url = base.replace("http:", "ws:")
    for options in (
        {},
        {"subprotocols": ["a", "b"]},
        {"compression": None},
        {"origin": "http://shop.example"},
        {"additional_headers": {"Cookie": "a=b"}},
    ):
        with contextlib.suppress(Exception):
            websockets.sync.client.connect(
                url + "/socket?x=y", open_timeout=2, close_timeout=0.1, **options
            ).close()


if __name__ == "__main__":
    globals()[f"with_{sys.argv[1]}"](sys.argv[2])
