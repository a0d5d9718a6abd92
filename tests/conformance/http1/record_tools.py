# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - tables read better with one row per line
"""How the corpus's clients that are programs of their own are run. See record.py."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PATH = os.pathsep.join(
    [os.environ.get("PATH", ""), "/usr/sbin", "/usr/lib/nagios/plugins", "/usr/local/go/bin"]
)
ENVIRONMENT = {**os.environ, "PATH": PATH}


def run(*command: str | Path, timeout: float = 30, folder: Path | None = None, stdin: str = "") -> str:
    """Runs a client; it may fail, for what it sends is all that counts."""
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        timeout=timeout,
        check=False,
        cwd=folder,
        env=ENVIRONMENT,
        input=stdin.encode(),
    )
    return (done.stdout + done.stderr).decode("utf-8", "replace")


def version_of(*command: str) -> Callable[[], str]:
    """The first thing in a program's output that looks like a version."""

    def version() -> str:
        found = re.search(r"\d+\.\d+[\w.+-]*", run(*command))
        return found[0] if found else "unknown"

    return version


def clients(make: Callable[..., Any], sources: Path) -> Iterator[Any]:
    """Every program there is a recipe for."""
    yield make("curl", "curl", version_of("curl", "--version"), curl)
    yield make("wget", "wget", version_of("wget", "--version"), wget)
    yield make("Go net/http", "go", version_of("go", "version"), lambda url, folder: go(sources, url, folder))
    yield make(
        "Java HttpClient",
        "java",
        version_of("java", "-version"),
        lambda url, folder: java(sources, "client", url),
    )
    yield make(
        "Java HttpURLConnection",
        "java",
        version_of("java", "-version"),
        lambda url, folder: java(sources, "connection", url),
    )
    for kind in ("http", "fetch"):
        yield make(
            f"Node {kind}",
            "node",
            version_of("node", "--version"),
            lambda url, folder, kind=kind: run("node", sources / "client.mjs", kind, url, timeout=60),
        )
    yield make("Chromium", "chromium", version_of("chromium", "--version"), chromium)
    yield make("ApacheBench", "ab", version_of("ab", "-V"), apache_bench)
    yield make(
        "wrk",
        "wrk",
        version_of("wrk", "--version"),
        lambda url, folder: run("wrk", "-c1", "-t1", "-d1", "-H", "X-Probe: 1", f"{url}/wrk"),
    )
    yield make(
        "siege",
        "siege",
        version_of("siege", "--version"),
        lambda url, folder: run("siege", "-c1", "-r1", "-b", f"{url}/siege?x=y", folder=folder),
    )
    yield make("httperf", "httperf", version_of("httperf", "--version"), httperf)
    yield make(
        "hey", "hey", lambda: "0.1", lambda url, folder: run("hey", "-n", "1", "-c", "1", f"{url}/hey")
    )
    yield make("nagios check_http", "check_http", version_of("check_http", "--version"), check_http)
    yield make(
        "lynx", "lynx", version_of("lynx", "--version"), text_browser("lynx", "-dump", "-accept_all_cookies")
    )
    yield make("w3m", "w3m", version_of("w3m", "-version"), text_browser("w3m", "-dump"))
    yield make("links", "links", version_of("links", "-version"), text_browser("links", "-dump"))
    yield make("libwww-perl", "GET", version_of("GET", "-v"), perl)
    yield make("PHP", "php", version_of("php", "--version"), php)
    yield make("Ruby net/http", "ruby", version_of("ruby", "--version"), ruby)
    yield make("HTTPie", "http", version_of("http", "--version"), httpie)
    yield make("nginx as a proxy", "nginx", version_of("nginx", "-v"), nginx)
    yield make("haproxy", "haproxy", version_of("haproxy", "-v"), haproxy)
    yield make("by hand", "sh", lambda: "HTTP/1.0", by_hand)


def curl(url: str, folder: Path) -> None:
    """Methods, bodies, uploads, ranges, conditions, cookies, proxies, old versions, upgrades."""
    (folder / "file.txt").write_text("file body")
    lines = """
/plain
-I /head
-X DELETE /items/1
-X OPTIONS /items
-X OPTIONS --request-target * /
-X PROPFIND -H Depth:1 /dav/
-X MKCOL /dav/new
-X QUERY -d select /query
-d a=1&b=2 /form
--data-urlencode name=Zoë&Co /form
-G --data-urlencode q=ebb&flow /search
--json {"a":1} /json
-X PUT -d {"a":1} -H Content-Type:application/json /items/1
-X PATCH -d [] /items/1
-F field=value -F file=@file.txt;type=text/plain /upload
-F file=@file.txt;filename=übung.txt /upload
-T file.txt /put/file.txt
-T - /put/stream
-H Transfer-Encoding:chunked -d chunked /chunked
-H Transfer-Encoding:chunked -H Expect:100-continue -d chunked /chunked
-H Expect:100-continue -d expected /expect
-r 0-99 /range
-r -500 /range
-r 0-0,-1 /ranges
-C 10 -o out /resume
-z 2025-11-01 /modified
-H If-None-Match:"abc" /tagged
-b a=1;b=two /cookies
-c jar -b jar /cookies
-u user:pass /auth
--digest -u user:pass /digest
-H Authorization:Bearer\x20abc.def.ghi /auth
-A Mozilla/5.0\x20(compatible;\x20Probe/1.0) /agent
-A  /no-agent
-e http://shop.example/ /referred
--compressed /compressed
--tr-encoding /te
-L /redirect
-L -d again /redirect307
-0 /old
-0 -d a=1 /old
-0 -H Connection:keep-alive /old
--http2 /h2c
--http2 -d a=1 /h2c
-H Connection:close /close
-H Connection:Upgrade -H Upgrade:websocket -H Sec-WebSocket-Version:13 -H Sec-WebSocket-Key:dGhlIHNhbXBsZSBub25jZQ== -m 1 /socket
-H Host:shop.example /host
-H Host:SHOP.Example:8080 /host
-H Host:xn--caf-dma.example /host
-H X-Empty; /empty
-H X-Utf8:Grüße /bytes
-H Accept-Language:de-CH,de;q=0.9 -H Accept:text/html,*/*;q=0.8 /accept
-H X-Forwarded-For:1.2.3.4 /forwarded
-H traceparent:00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 /traced
-g /array[]?a[]=1&a[]=2
-g /brace{1}/pipe|x?y|z
/caf%C3%A9/na%20me?q=%E2%82%AC
/caf%c3%a9/%7Euser/%41
/a;b=c/d,e/@f:g!$&'()*+=
/a//b///c
/a/./b/../c
--path-as-is /a/./b
/.well-known/acme-challenge/x_y-z
/?
/?a=b?c=d&e=/f/../g
/a.b..c/...
/%2Fencoded%2fslash
/deep/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
""".strip().splitlines()
    for line in lines:
        *options, path = line.split(" ")
        decoded = [option.replace("\\x20", " ") for option in options]
        run("curl", "-s", "-m", "5", *decoded, url + path, folder=folder, stdin="streamed body")
    run(
        "curl",
        "-s",
        "-m",
        "5",
        "-x",
        url,
        "http://shop.example/through?a=b",
        "http://shop.example:8080",
        folder=folder,
    )
    run("curl", "-s", "-m", "5", "-x", url, "-d", "x", "http://shop.example/through", folder=folder)
    run(
        "curl",
        "-s",
        "-m",
        "5",
        f"{url}/kept/1",
        f"{url}/kept/2",
        "--next",
        "-d",
        "x",
        f"{url}/kept/3",
        folder=folder,
    )


def wget(url: str, folder: Path) -> None:
    """Mirrors, posts, resumes, old versions."""
    (folder / "file.txt").write_text("body from a file")
    for options in (
        ["/plain"],
        ["--spider", "/head"],
        ["--no-http-keep-alive", "/close"],
        ["--post-data=a=1&b=2", "/form"],
        ["--post-file=file.txt", "/form"],
        ["--method=PUT", "--body-data=x", "/put"],
        ["--method=DELETE", "/items/1"],
        ["--header=Accept: text/html", "--header=X-Empty:", "/fields"],
        ["--user=u", "--password=p", "--auth-no-challenge", "/auth"],
        ["--referer=http://shop.example/", "--user-agent=Wget/1.0", "/referred"],
        ["--compression=auto", "/compressed"],
        ["-c", "-O", "file.txt", "/resume"],
        ["-N", "/newer"],
        ["--no-cache", "/fresh"],
        ["--max-redirect=2", "/redirect"],
        ["--load-cookies=/dev/null", "--save-cookies=jar", "/cookies"],
        ["/café/na me?q=€"],
        ["--restrict-file-names=ascii", "/a;b=c/d,e/@f?x[]=1"],
        ["-r", "-l1", "/page"],
    ):
        run("wget", "-q", "-T5", "-t1", *options[:-1], url + options[-1], folder=folder)
    proxy = {"-e": f"http_proxy={url}"}
    run(
        "wget",
        "-q",
        "-T5",
        "-t1",
        "-e",
        "use_proxy=yes",
        "-e",
        proxy["-e"],
        "http://shop.example/through?x=y",
        folder=folder,
    )


def go(sources: Path, url: str, folder: Path) -> None:
    """Builds and runs client.go."""
    run("go", "build", "-o", folder / "client", sources / "client.go", timeout=300)
    run(folder / "client", url, timeout=60)


def java(sources: Path, kind: str, url: str) -> None:
    """Runs Client.java from its source."""
    run("java", sources / "Client.java", kind, url, timeout=120)


def chromium(url: str, folder: Path) -> None:
    """Loads page.html, whose script sends everything else."""
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-default-apps",
        "--disable-dev-shm-usage",
    ]
    command = [
        "chromium",
        *flags,
        f"--user-data-dir={folder}",
        "--timeout=15000",
        "--virtual-time-budget=8000",
        "--dump-dom",
    ]
    run(*command, f"{url}/page", timeout=90)
    rules = f"--host-resolver-rules=MAP * {url.removeprefix('http://')}"
    run(*command, rules, "http://shop.example/page?again", timeout=90)


def apache_bench(url: str, folder: Path) -> None:
    """HTTP/1.0 with and without keep-alive."""
    (folder / "body").write_text("a=1")
    for options in (
        [],
        ["-k"],
        ["-i"],
        ["-k", "-p", "body"],
        ["-u", "body", "-T", "text/plain"],
        ["-C", "a=b"],
        ["-A", "u:p"],
        ["-H", "Accept: text/html"],
        ["-m", "DELETE"],
    ):
        run("ab", "-q", "-n1", "-c1", *options, f"{url}/ab?x=y", folder=folder)
    run(
        "ab",
        "-q",
        "-n1",
        "-c1",
        "-X",
        url.removeprefix("http://"),
        "http://shop.example/through",
        folder=folder,
    )


def httperf(url: str, folder: Path) -> None:
    """HTTP/1.1 and HTTP/1.0."""
    host, port = url.removeprefix("http://").split(":")
    for options in (
        [],
        ["--http-version=1.0"],
        ["--method=HEAD"],
        ["--add-header=X-Probe: 1\\n"],
        ["--server-name=shop.example"],
    ):
        run(
            "httperf",
            f"--server={host}",
            f"--port={port}",
            "--uri=/httperf?x=y",
            "--num-conns=1",
            "--timeout=5",
            *options,
        )


def check_http(url: str, folder: Path) -> None:
    """The monitoring probe of Nagios and its children."""
    host, port = url.removeprefix("http://").split(":")
    for options in (
        [],
        ["-u", "/health"],
        ["-H", "shop.example"],
        ["-j", "HEAD"],
        ["-P", "a=1"],
        ["-a", "u:p"],
        ["-A", "probe/1"],
        ["-k", "X-Probe: 1"],
        ["-f", "follow", "-u", "/redirect"],
        ["-N"],
        ["-E"],
    ):
        run("check_http", "-I", host, "-p", port, "-t", "5", *options)


def text_browser(*command: str) -> Callable[[str, Path], object]:
    """A browser without a screen, on a few pages."""

    def browse(url: str, folder: Path) -> None:
        for path in ("/page", "/plain?x=y", "/redirect", "/cookies", "/caf%C3%A9"):
            run(*command, url + path, folder=folder)

    return browse


def perl(url: str, folder: Path) -> None:
    """lwp-request under its three names."""
    for name in ("GET", "HEAD"):
        run(name, f"{url}/perl?x=y")
    run("POST", f"{url}/perl", stdin="a=1&b=2")
    run("GET", "-m", "PUT", f"{url}/perl", stdin="body")
    run("GET", "-H", "Accept: text/html", "-C", "u:p", f"{url}/redirect")


def php(url: str, folder: Path) -> None:
    """PHP's stream wrapper (HTTP/1.0 unless told otherwise) and its cURL extension."""
    code = f"""
    foreach (['1.0', '1.1'] as $version) foreach (['GET', 'POST', 'PUT', 'HEAD', 'DELETE'] as $method) {{
      $body = in_array($method, ['POST', 'PUT']) ? 'a=1&b=2' : '';
      file_get_contents('{url}/php?m=' . $method, false, stream_context_create(['http' => ['method' => $method, 'protocol_version' => $version,
        'content' => $body, 'timeout' => 5, 'header' => "X-Php: 1\\r\\nConnection: close"]]));
    }}
    file_get_contents('{url}/plain');
    $c = curl_init('{url}/php-curl'); curl_setopt_array($c, [CURLOPT_RETURNTRANSFER => 1, CURLOPT_TIMEOUT => 5, CURLOPT_POSTFIELDS => ['a' => 'b']]); curl_exec($c);
    curl_setopt_array($c, [CURLOPT_POSTFIELDS => 'x=1']); curl_exec($c);
    """
    run("php", "-r", code)


def ruby(url: str, folder: Path) -> None:
    """Ruby's net/http."""
    code = f"""
    require 'net/http'; u = URI('{url}/ruby?x=y')
    Net::HTTP.start(u.host, u.port) do |h|
      [Net::HTTP::Get, Net::HTTP::Head, Net::HTTP::Delete, Net::HTTP::Options].each {{ |k| h.request(k.new(u)) }}
      [Net::HTTP::Post, Net::HTTP::Put, Net::HTTP::Patch].each {{ |k| r = k.new(u); r.body = '{{}}'; r.content_type = 'application/json'; h.request(r) }}
      r = Net::HTTP::Post.new(u); r.set_form([['a', 'b'], ['f', 'body', {{ filename: 'f.txt' }}]], 'multipart/form-data'); h.request(r)
      r = Net::HTTP::Post.new(u); r['Transfer-Encoding'] = 'chunked'; r.body_stream = StringIO.new('streamed'); h.request(r)
    end
    Net::HTTP.get(u); Net::HTTP.post_form(u, 'a' => 'é')
    """
    run("ruby", "-rstringio", "-e", code)


def httpie(url: str, folder: Path) -> None:
    """HTTPie, without reading our standard input."""
    for options in (
        ["GET"],
        ["HEAD"],
        ["POST", "a=1", "b:=2"],
        ["--form", "POST", "a=1"],
        ["PUT", "X-Head:1", "q==x y"],
        ["DELETE"],
        ["OPTIONS"],
        ["-a", "u:p", "GET"],
    ):
        position = next(i for i, option in enumerate(options) if option.isupper()) + 1
        run(
            "http", "--ignore-stdin", "--timeout=5", *options[:position], f"{url}/httpie", *options[position:]
        )


def _serve(command: list[str | Path], sends: Callable[[int], object], port: int) -> None:
    with subprocess.Popen(
        [str(part) for part in command], env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            from tests.conformance.http1.peers import wait_for_port

            wait_for_port(port, process)
            sends(port)
        finally:
            process.terminate()
            process.wait(10)


def _through(port: int) -> None:
    """What other proxies make of ordinary requests, which is what arrives when tidegate stands behind them."""
    front = f"http://127.0.0.1:{port}"
    for options in (
        [],
        ["-I"],
        ["-d", "a=1"],
        ["-H", "Transfer-Encoding: chunked", "-d", "x"],
        ["-T", "/dev/null"],
        ["-0"],
        ["-H", "Host: shop.example"],
        ["-r", "0-9"],
        ["-b", "a=b"],
    ):
        run("curl", "-s", "-m", "5", *options, f"{front}/through?x=y")


def nginx(url: str, folder: Path) -> None:
    """nginx in front: HTTP/1.0 without settings, HTTP/1.1 with keep-alive."""
    from tests.ports import free_port

    port = free_port()
    (folder / "nginx.conf").write_text(f"""
    daemon off; master_process off; error_log {folder}/e.log; pid {folder}/pid; events {{ }}
    http {{ access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder};
      scgi_temp_path {folder}; server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass {url}; }}
      location /new/ {{ proxy_pass {url}; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Real-IP $remote_addr; }} }} }}""")

    def sends(port: int) -> None:
        _through(port)
        run("curl", "-s", "-m", "5", f"http://127.0.0.1:{port}/new/x", "-d", "a=1")
        run("curl", "-s", "-m", "5", f"http://127.0.0.1:{port}/new/x?y=z")

    _serve(["nginx", "-p", folder, "-c", folder / "nginx.conf"], sends, port)


def haproxy(url: str, folder: Path) -> None:
    """HAProxy in front, and its health checks."""
    from tests.ports import free_port

    port, address = free_port(), url.removeprefix("http://")
    (folder / "haproxy.cfg").write_text(f"""
global
defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 5s
  option forwardfor
frontend web
  bind 127.0.0.1:{port}
  default_backend plain
backend plain
  option httpchk
  server one {address} check inter 200ms
backend checked
  option httpchk GET /healthz HTTP/1.1\\r\\nHost:\\ shop.example
  server one {address} check inter 200ms
backend sent
  option httpchk
  http-check send meth HEAD uri /healthz ver HTTP/1.1 hdr Host shop.example hdr User-Agent probe
  server one {address} check inter 200ms
""")
    _serve(["haproxy", "-db", "-f", folder / "haproxy.cfg"], _through, port)


def by_hand(url: str, folder: Path) -> None:
    """What people type and what small old clients send."""
    host, port = url.removeprefix("http://").split(":")
    for text in (
        "GET / HTTP/1.0\r\n\r\n",
        "GET /index.html HTTP/1.0\r\nUser-Agent: Mozilla/1.0N (X11)\r\nAccept: image/gif\r\nAccept: */*\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: shop.example\r\n\r\n",
        "HEAD / HTTP/1.0\r\n\r\n",
        "POST /cgi-bin/form HTTP/1.0\r\nContent-type: application/x-www-form-urlencoded\r\nContent-length: 7\r\n\r\na=1&b=2",
        "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n",
        "GET / HTTP/1.1\r\nhost:shop.example\r\nconnection:close\r\n\r\n",
        "OPTIONS / HTTP/1.0\r\n\r\n",
        "GET /health HTTP/1.0\r\nUser-Agent: ELB-HealthChecker/1.0\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: 10.0.0.1\r\nUser-Agent: kube-probe/1.31\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
    ):
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(text.encode())
            connection.recv(4096)
