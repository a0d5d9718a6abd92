# SPDX-License-Identifier: Apache-2.0
"""Which answers of OCSP are believed, and when responders are asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp

from tests.integration.tls.authority import Authority, Pair
from tests.integration.tls.responder import BOUND, SIGNS, answer, made_up, named, signer
from tidegate import _engine
from tidegate.events import Events
from tidegate.issuing import answers
from tidegate.issuing.stapler import Refusal, Stapler, _Asker, half

URL = "http://ocsp.test/"


def verdict(pair: Pair, said: bytes) -> str:
    """`good` and the like, or why it is not believed."""
    try:
        return _engine.revocation_verdict(pair.cert.read_text(), said, int(time.time()))[0]
    except ValueError as error:
        return str(error)


@pytest.fixture
def named_pair(authority: Authority) -> Pair:
    return authority.pair("site.test", more=(named(URL),))


def test_who_may_sign_is_believed(authority: Authority, named_pair: Pair) -> None:
    delegate = signer(authority.pair("responder", file="responder", more=(SIGNS,)))
    no_delegate = signer(authority.pair("other", file="other"))
    ended = signer(authority.pair("ended", file="ended", days=-1, more=(SIGNS,)))
    stranger = Authority(authority.folder, file="stranger")
    strange = signer(stranger.pair("responder", file="strange", more=(SIGNS,)))
    for good in (
        answer(named_pair, authority),
        answer(named_pair, authority, algorithm=hashes.SHA256()),
        answer(named_pair, authority, by=delegate),
    ):
        assert verdict(named_pair, good) == "good"
    for wrong in (
        answer(named_pair, authority, by=no_delegate),
        answer(named_pair, authority, by=ended),
        answer(named_pair, authority, by=strange),
        answer(named_pair, authority, by=stranger.signer),
        answer(named_pair, authority, by=delegate, delegate=False),
    ):
        assert "nobody has signed it who may" in verdict(named_pair, wrong)
    # The site's own key signs nothing about itself.
    own = answer(named_pair, authority, by=signer(named_pair))
    assert "nobody has signed it who may" in verdict(named_pair, own)


def test_what_is_said_counts_for_its_time_and_certificate(authority: Authority, named_pair: Pair) -> None:
    good = answer(named_pair, authority)
    assert verdict(authority.pair("b.test", file="b"), good) == "it is about another certificate"
    assert "later moment" in verdict(named_pair, answer(named_pair, authority, since=3000))
    assert "until when" in verdict(named_pair, answer(named_pair, authority, until=None))
    for status in (ocsp.OCSPCertStatus.REVOKED, ocsp.OCSPCertStatus.UNKNOWN):
        assert verdict(named_pair, answer(named_pair, authority, status=status)) == status.name.lower()
    # No part of it can be changed, and none makes the reader fail otherwise.
    for place in range(0, len(good), 7):
        changed = good[:place] + bytes([good[place] ^ 0x40]) + good[place + 1 :]
        assert verdict(named_pair, changed) != "good", place
    for length in range(0, len(good), 5):
        assert verdict(named_pair, good[:length]) != "good"
    later = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER)
    said = later.public_bytes(serialization.Encoding.DER)
    assert verdict(named_pair, said) == "the responder wants to be asked later"


def test_certificates_say_whom_to_ask(authority: Authority, named_pair: Pair) -> None:
    url, is_bound, request = _engine.revocation_inquiry(named_pair.cert.read_text()) or ("", True, b"")
    assert (url, is_bound) == (URL, False)
    found = ocsp.load_der_ocsp_request(request)
    assert found.serial_number == signer(named_pair)[0].serial_number
    plain = authority.pair("plain.test", file="plain", more=(BOUND,))
    assert (_engine.revocation_inquiry(plain.cert.read_text()) or ())[:2] == ("", True)
    files = authority.pair("odd.test", file="odd", more=(named("ldap://ocsp.test/"),))
    assert (_engine.revocation_inquiry(files.cert.read_text()) or ("-",))[0] == ""
    assert _engine.revocation_inquiry("no certificate") is None


class Bench:
    """A stapler whose clock and responder are the test's."""

    def __init__(self, pair: Pair, say: Callable[[], bytes]) -> None:
        self.now = time.time()
        self.cert = pair.cert.read_text()
        self.asked: list[str] = []
        self.renewed = 0
        self._say = say
        self.stapler = Stapler(Events("test", "json"), self._renewed, "1", lambda: self.now, self._ask)

    def _ask(self, url: str, body: bytes) -> bytes:
        self.asked.append(url)
        return self._say()

    async def _renewed(self) -> None:
        self.renewed += 1

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not is_so():
                self.stapler.go()
                await asyncio.sleep(0.01)

    def told(self, name: str) -> int:
        found = self.stapler.told(self.cert)
        assert found is not None
        return int(found[name])

    async def run(self, steps: Callable[[], Awaitable[None]]) -> None:
        assert self.stapler.follow([self.cert])
        try:
            await steps()
        finally:
            await self.stapler.close()


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_STATE_DIR", str(tmp_path / "state"))


def test_answers_are_asked_for_again_with_half_of_their_time_over(
    authority: Authority, named_pair: Pair
) -> None:
    bench = Bench(named_pair, lambda: answer(named_pair, authority, since=0, until=10_000))

    async def steps() -> None:
        await bench.until(lambda: bench.renewed == 1)
        assert 4_990 < bench.told("next_at") - bench.now < 5_010
        assert bench.told("until") > bench.now + 9_990
        bench.now += 4_000
        bench.stapler.go()
        await asyncio.sleep(0.1)
        assert len(bench.asked) == 1
        bench.now += 1_100
        await bench.until(lambda: len(bench.asked) == 2)

    asyncio.run(bench.run(steps))
    assert answers.read(bench.cert) is not None


def test_a_responder_that_fails_is_asked_less_and_less_and_changes_nothing(
    authority: Authority, named_pair: Pair
) -> None:
    said = [answer(named_pair, authority, since=-100, until=100_000)]
    bench = Bench(named_pair, lambda: said[0])

    async def steps() -> None:
        await bench.until(lambda: bench.renewed == 1)
        kept = answers.read(bench.cert)
        assert kept is not None and kept.answer == said[0]
        stranger = Authority(authority.folder, file="stranger")
        lies = [
            b"",
            answer(named_pair, authority, by=stranger.signer),
            answer(named_pair, authority, until=-1),
        ]
        waits = []
        for number, lie in enumerate([*lies, *lies], 1):
            said[0] = lie
            bench.now = bench.told("next_at") + 1
            await bench.until(lambda number=number: bench.told("failures") == number)  # type: ignore[misc]
            waits.append(bench.told("next_at") - bench.now)
        assert waits == sorted(waits) and 60 <= waits[0] <= 67 and 1_900 < waits[-1] <= 2_120
        assert answers.read(bench.cert) == kept and bench.renewed == 1
        said[0] = answer(named_pair, authority, until=200_000)
        bench.now = bench.told("next_at") + 1
        await bench.until(lambda: bench.renewed == 2)
        assert bench.told("failures") == 0
        # That it was revoked is said by who may say it.
        said[0] = answer(named_pair, authority, status=ocsp.OCSPCertStatus.REVOKED, until=300_000)
        bench.now = bench.told("next_at") + 1
        await bench.until(lambda: bench.told("failures") == 1)
        assert answers.read(bench.cert) is None and bench.renewed == 3

    asyncio.run(bench.run(steps))


def test_it_ends_although_it_was_just_woken(authority: Authority, named_pair: Pair) -> None:
    bench = Bench(named_pair, lambda: answer(named_pair, authority, until=50_000))

    async def steps() -> None:
        await bench.until(lambda: bench.renewed == 1)
        # It waits, and is woken in the moment in which it is told to end.
        await asyncio.sleep(0.05)
        bench.stapler.go()
        async with asyncio.timeout(20):
            await bench.stapler.close()

    asyncio.run(bench.run(steps))


def test_what_was_kept_is_taken_up_without_asking(authority: Authority, named_pair: Pair) -> None:
    answers.write(named_pair.cert.read_text(), answer(named_pair, authority, until=50_000))
    bench = Bench(named_pair, lambda: b"")

    async def steps() -> None:
        await bench.until(lambda: bench.told("until") > 0)
        assert not bench.asked

    asyncio.run(bench.run(steps))


def test_a_certificate_without_a_responder_is_let_alone(authority: Authority) -> None:
    plain = authority.pair("plain.test", file="plain")
    bench = Bench(plain, lambda: b"")
    assert not bench.stapler.follow([bench.cert])
    assert bench.stapler.told(bench.cert) is None
    alone = authority.pair("alone.test", file="alone", with_chain=False, more=(named(URL),)).cert.read_text()
    assert bench.stapler.follow([alone])
    found = bench.stapler.told(alone)
    assert found is not None and "does not stand behind it" in found["says"]


def test_the_time_of_an_answer_that_was_old_when_it_came() -> None:
    assert half(answers.Answer(b"", 0, 1000), 100) == 500
    assert half(answers.Answer(b"", 0, 1000), 800) == 900
    assert half(answers.Answer(b"", 0, 1000), 990) == 1050


@pytest.mark.parametrize(
    ("status", "came", "says"),
    [
        (500, b"", "answers with 500"),
        (307, b"", "answers with 307"),
        (200, bytes(1 << 17), "more than 64 KiB"),
    ],
)
def test_a_responder_is_not_followed_elsewhere_nor_read_without_end(
    status: int, came: bytes, says: str
) -> None:
    with made_up(lambda _: (status, came)) as (url, asked):
        with pytest.raises(Refusal, match=says):
            _Asker("1")(url, b"question")
        assert asked == ["POST /ocsp"]
    with pytest.raises(Refusal, match="can not be reached"):
        _Asker("1")(url, b"question")
