# SPDX-License-Identifier: Apache-2.0
"""Responders of OCSP: a real one, and answers of any kind."""

from __future__ import annotations

import contextlib
import datetime
import http.server
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from tests.integration.tls.authority import Authority, Key, Pair
from tests.ports import free_port

SIGNS = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING])
BOUND = x509.TLSFeature([x509.TLSFeatureType.status_request])
Signer = tuple[x509.Certificate, Key]


def named(url: str) -> x509.AuthorityInformationAccess:
    """The extension that names a responder."""
    place = x509.UniformResourceIdentifier(url)
    return x509.AuthorityInformationAccess(
        [x509.AccessDescription(AuthorityInformationAccessOID.OCSP, place)]
    )


def signer(pair: Pair) -> Signer:
    """A certificate and its key, to sign with."""
    key: Any = serialization.load_pem_private_key(pair.key.read_bytes(), None)
    return x509.load_pem_x509_certificate(pair.cert.read_bytes()), key


def answer(
    pair: Pair,
    authority: Authority,
    *,
    by: Signer | None = None,
    since: float = -60,
    until: float | None = 3600,
    status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD,
    delegate: bool = True,
    algorithm: hashes.HashAlgorithm | None = None,
) -> bytes:
    """What a responder says of the certificate of `pair`, in DER.

    Args:
        pair: It is about this.
        authority: Who has signed it.
        by: Who signs the answer; the authority itself without one.
        since: From now to the moment from which it counts, in seconds.
        until: From now to its end.
        status: What it says.
        delegate: Whether the certificate of `by` comes with it.
        algorithm: How the certificate is named.
    """
    now = datetime.datetime.now(datetime.UTC)
    revoked = status == ocsp.OCSPCertStatus.REVOKED
    own, key = by or authority.signer
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=x509.load_pem_x509_certificate(pair.cert.read_bytes()),
        issuer=authority.signer[0],
        algorithm=algorithm or hashes.SHA1(),
        cert_status=status,
        this_update=now + datetime.timedelta(seconds=since),
        next_update=None if until is None else now + datetime.timedelta(seconds=until),
        revocation_time=now if revoked else None,
        revocation_reason=None,
    )
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, own)
    if by is not None and delegate:
        builder = builder.certificates([own])
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


@contextlib.contextmanager
def real(authority: Authority, pair: Pair, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """OpenSSL's responder, which has a certificate of the authority's to sign with."""
    own = authority.pair("responder", file="responder", more=(SIGNS,), with_chain=False)
    found = x509.load_pem_x509_certificate(pair.cert.read_bytes())
    ends = found.not_valid_after_utc.strftime("%y%m%d%H%M%SZ")
    index = authority.folder / "index.txt"
    serial = f"{found.serial_number:X}"
    serial = serial.rjust(len(serial) + len(serial) % 2, "0")
    index.write_text(f"V\t{ends}\t\t{serial}\tunknown\t/CN=site\n")
    command = ["openssl", "ocsp", "-port", str(port), "-index", str(index), "-CA", str(authority.file)]
    command += ["-rsigner", str(own.cert), "-rkey", str(own.key), "-ndays", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def made_up(say: Callable[[bytes], tuple[int, bytes]]) -> Iterator[tuple[str, list[str]]]:
    """A server whose answers `say` makes of requests; its URL, and what was asked: `METHOD PATH`."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(f"POST {self.path}")
            status, came = say(body)
            self.send_response(status)
            if status == 307:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(came)))
            self.end_headers()
            self.wfile.write(came)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/ocsp", asked
        finally:
            server.shutdown()
            thread.join()


def stapled(port: int, name: str, roots: Path, *more: str) -> str:
    """What `openssl s_client` tells of the answer that comes with a handshake, which must succeed."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", name, "-status"]
    command += ["-CAfile", str(roots), "-verify_return_error", *more]
    told = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    text = told.stdout.decode(errors="replace")
    assert told.returncode == 0 and "Verify return code: 0" in text, text + told.stderr.decode(
        errors="replace"
    )
    if "OCSP response: no response sent" in text:
        return "none"
    assert "OCSP Response Status: successful" in text, text
    return "good" if "Cert Status: good" in text else "other"
