from __future__ import annotations

import datetime
import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from likeness.fetch import Fetched, fetch
from likeness.outgoing import Network, Pace
from likeness.refusals import FetchFailed, FetchRefused, NothingToFetch
from problems import MediaTooLarge, Problem
from tests.likeness.internet import Internet, Script, Site, answer, redirect

PLACE = "93.184.216.34"
OTHER = "2606:2800:220:1::1"
CLIP = bytes(range(256)) * 4096  # 1 MiB


class World:
    """The internet with one server on it, files.example, and what was fetched from it."""

    def __init__(self, stack: ExitStack) -> None:
        self.internet, self._stack = Internet(), stack
        self.pages: dict[str, Script] = {}
        self.site = self.serve(self.pages, PLACE, OTHER)
        self.internet.names = {"files.example": [[PLACE, OTHER]]}
        self.got = bytearray()

    def serve(self, pages: dict[str, Script], *places: str, tls: ssl.SSLContext | None = None) -> Site:
        site = Site(pages, tls=tls)
        self._stack.callback(site.close)
        self.internet.ports |= dict.fromkeys(places, site.port)
        return site

    def fetch(
        self,
        url: str = "http://files.example/a",
        *,
        limit: int = 2**21,
        deadline_s: float = 10.0,
        allow_private: bool = False,
        max_redirects: int = 5,
        pace: Pace | None = None,
    ) -> Fetched:
        return fetch(
            url,
            self.got.extend,
            limit_bytes=limit,
            deadline_s=deadline_s,
            allow_private=allow_private,
            max_redirects=max_redirects,
            network=self.internet.network,
            pace=pace,
        )

    def refusal(self, kind: type[Problem], script: Script | None = None, **asked: object) -> Problem:
        """The problem that comes of it, of this kind; it says what to do and tells nothing about the inside."""
        if script is not None:
            self.pages["/a"] = script
        with pytest.raises(kind) as caught:
            self.fetch(**asked)  # type: ignore[arg-type]
        problem = caught.value
        assert type(problem) is kind
        assert problem.remedy
        said = json.dumps(problem.as_dict())
        for secret in ("127.0.0.1", "10.0.0.7", PLACE, OTHER, "SECRET"):
            assert secret not in said or secret in str(asked)
        return problem


@pytest.fixture
def world() -> Iterator[World]:
    with ExitStack() as stack:
        yield World(stack)


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    head = answer(b"", "Transfer-Encoding: chunked", length=None)
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + end


def test_a_file_is_handed_on_whole(world: World) -> None:
    world.pages["/clips/my%20clip.mp4?key=a%2Fb"] = answer(CLIP, "Content-Type: video/mp4; codecs=avc1")
    fetched = world.fetch("http://FILES.example/clips/my clip.mp4?key=a%2Fb#t=1")
    url = "http://files.example/clips/my%20clip.mp4?key=a%2Fb"
    assert fetched == Fetched(url, "video/mp4", "my clip.mp4", len(CLIP))
    assert bytes(world.got) == CLIP
    [head] = world.site.requests
    lines = head.split("\r\n")
    assert lines[0] == "GET /clips/my%20clip.mp4?key=a%2Fb HTTP/1.1"
    assert {"Host: files.example", "Accept-Encoding: identity", "Connection: close"} <= set(lines)
    assert world.internet.connected == [(PLACE, 80)]


@pytest.mark.parametrize(
    "script",
    [
        answer(CLIP, length=None),
        chunked(CLIP[:5], CLIP[5:]),
        lambda: (answer(CLIP[:9], length=len(CLIP)), 0.05, CLIP[9:500], 0.05, CLIP[500:]),
        answer(CLIP) + b"more than was announced",
        answer(CLIP, "Content-Encoding: identity"),
    ],
    ids=["until the end", "in chunks", "in pieces", "with more behind it", "not encoded"],
)
def test_however_it_comes(world: World, script: Script) -> None:
    world.pages["/a"] = script
    assert world.fetch() == Fetched("http://files.example/a", "application/octet-stream", "a", len(CLIP))
    assert bytes(world.got) == CLIP


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('attachment; filename="my clip.mov"', "my clip.mov"),
        ("attachment; filename*=UTF-8''f%C3%BCr%20dich.mp4", "für dich.mp4"),
        ('attachment; filename="f\xc3\xbcr dich.mp4"', "für dich.mp4"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ('attachment; filename="C:\\\\clips\\\\a.mp4"', "a.mp4"),
        ("attachment; filename*=no-such-charset'a'b%ff.mp4", "b\xff.mp4"),
        ("attachment", "a"),
        ("attachment; filename*0*=x; filename*x*=y", "x"),
        ("; ;=;filename", "a"),
    ],
)
def test_a_file_has_a_name(world: World, disposition: str, name: str) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Disposition: {disposition}\r\nContent-Length: 1\r\n\r\n"
    world.pages["/a"] = head.encode("latin-1") + b"x"
    fetched = world.fetch()
    assert fetched.filename == name


def test_the_next_address_of_a_host_is_tried(world: World) -> None:
    del world.internet.ports[PLACE]
    world.pages["/a"] = answer(b"x")
    world.fetch()
    assert world.internet.connected == [(PLACE, 80), (OTHER, 80)]


# Where it may go.


def test_a_name_is_asked_for_once_and_what_was_checked_is_connected_to(world: World) -> None:
    """DNS rebinding: public when it is checked, inside when it is used."""
    world.internet.names["rebind.example"] = [[PLACE], ["127.0.0.1"]]
    inside = world.serve({"/a": answer(b"SECRET")}, "127.0.0.1")
    world.pages["/a"] = answer(b"public")
    world.fetch("http://rebind.example/a")
    assert bytes(world.got) == b"public"
    assert world.internet.asked == ["rebind.example"]
    assert world.internet.connected == [(PLACE, 80)]
    # Asked again for a redirect, it is checked again.
    world.internet.names["rebind.example"] = [[PLACE], ["127.0.0.1"]]
    world.pages["/a"] = redirect("http://rebind.example/b")
    world.refusal(FetchRefused, url="http://rebind.example/a")
    assert inside.requests == []


def test_no_other_look_up_hides_in_the_standard_library(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.pages["/a"] = answer(b"x")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a name was looked up behind the check's back")

    for name in ("getaddrinfo", "gethostbyname", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)
    network = Network(look_up=lambda _host, _port: ["127.0.0.1"])
    url = f"http://files.example:{world.site.port}/a"
    assert (
        fetch(url, world.got.extend, limit_bytes=9, deadline_s=5, allow_private=True, network=network).size
        == 1
    )
    assert f"Host: files.example:{world.site.port}\r\n" in world.site.requests[0]


INSIDE = [
    "http://127.0.0.1/a",
    "http://localhost/a",
    "http://2130706433/a",
    "http://0x7f.1/a",
    "http://[::1]/a",
    "http://[::ffff:10.0.0.7]/a",
    "http://[64:ff9b::10.0.0.7]/a",
    "http://[2002:0a00:0007::1]/a",
    "http://169.254.169.254/latest/meta-data/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://100.64.0.1/a",
    "http://metadata.example/a",
    "http://both.example/a",
    "http://redis/a",
    "http://user:password@files.example/a",
    "http://files.example:22/a",
    "http://files.example:0/a",
    "file:///etc/passwd",
    "ftp://files.example/a",
    "http://files.example/a\r\nX-Injected: 1",
    "http://files.example\r\nX-Injected: 1\r\n/a",
]


@pytest.mark.parametrize("url", INSIDE)
def test_an_address_inside_is_refused_at_once_and_as_a_redirect(world: World, url: str) -> None:
    world.internet.names |= {"metadata.example": [["169.254.169.254"]], "both.example": [[PLACE, "10.0.0.7"]]}
    world.refusal(FetchRefused, url=url)
    assert world.internet.connected == []
    if "\r" in url:
        return  # a header ends there
    world.pages["/start"] = redirect(url)
    with pytest.raises(FetchRefused):
        world.fetch("http://files.example/start")
    assert world.internet.connected == [(PLACE, 80)]
    assert [head.split()[1] for head in world.site.requests] == ["/start"]


def test_a_network_of_ones_own_is_for_who_asked_for_it(world: World) -> None:
    world.internet.names["nas"] = [["10.0.0.7"]]
    world.serve({"/a": answer(b"x")}, "10.0.0.7")
    world.refusal(FetchRefused, url="http://nas:9000/a")
    world.fetch("http://nas:9000/a", allow_private=True)
    assert world.internet.connected == [("10.0.0.7", 9000)]
    world.refusal(FetchRefused, url="http://169.254.169.254/a", allow_private=True)


# Redirects.


def test_redirects_are_followed_and_checked_anew(world: World) -> None:
    world.internet.names["cdn.example"] = [[OTHER]]
    for path, status, location in (
        ("/a", "301 Moved", "/b/c"),
        ("/b/c", "302 Found", "d?e=f"),
        ("/b/d?e=f", "303 See Other", "//cdn.example:8080/g"),
        ("/g", "307 Temporary Redirect", "?h=ü x".encode().decode("latin-1")),
    ):
        world.pages[path] = redirect(location, status).decode().encode("latin-1")
    world.pages["/g?h=%C3%BC%20x"] = answer(b"there")
    fetched = world.fetch()
    assert fetched.final_url == "http://cdn.example:8080/g?h=%C3%BC%20x"
    assert fetched.filename == "g"
    assert bytes(world.got) == b"there"
    assert world.internet.asked == ["files.example"] * 3 + ["cdn.example"] * 2
    assert world.internet.connected == [(PLACE, 80)] * 3 + [(OTHER, 8080)] * 2


def test_redirects_end(world: World) -> None:
    problem = world.refusal(NothingToFetch, redirect("/a"), max_redirects=3)
    assert "3 times" in problem.message
    assert len(world.site.requests) == 4
    world.refusal(FetchFailed, answer(status="302 Found"))
    world.refusal(FetchFailed, redirect("http://[::1"))
    assert world.got == b""


# What it may be.


@pytest.mark.parametrize(
    "status", ["204 No Content", "206 Partial Content", "304 Not Modified", "403 No", "404 No"]
)
def test_no_file_is_said(world: World, status: str) -> None:
    problem = world.refusal(NothingToFetch, answer(b"SECRET", status=status))
    assert f"answered {status[:3]}" in problem.message
    assert not problem.retryable
    assert world.got == b""


@pytest.mark.parametrize("status", ["408 Slow", "429 Busy", "500 Oh", "503 Away"])
def test_a_server_in_trouble_may_be_asked_again(world: World, status: str) -> None:
    problem = world.refusal(FetchFailed, answer(b"SECRET", status=status))
    assert problem.retryable
    assert status[:3] in problem.message


@pytest.mark.parametrize("kind", ["text/html", "Text/HTML; charset=utf-8", "application/xhtml+xml"])
def test_a_web_page_is_not_taken_for_a_file(world: World, kind: str) -> None:
    problem = world.refusal(NothingToFetch, answer(b"<html>SECRET", f"Content-Type: {kind}"))
    assert "web page, not a file" in problem.message
    assert "direct address" in problem.remedy


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip"])
def test_a_compressed_body_is_refused(world: World, encoding: str) -> None:
    problem = world.refusal(NothingToFetch, answer(b"\x1f\x8b", f"Content-Encoding: {encoding}"))
    assert "compressed" in problem.message
    assert world.got == b""


# How much, and for how long.


def test_exactly_the_limit_is_allowed(world: World) -> None:
    world.pages["/a"] = answer(CLIP)
    assert world.fetch(limit=len(CLIP)).size == len(CLIP)


@pytest.mark.parametrize(
    ("script", "taken"),
    [
        (answer(CLIP), 0),
        (answer(CLIP, length=None), 2**19),
        (chunked(CLIP, CLIP), 2**19),
        (lambda: (answer(length=None), *[CLIP] * 3), 2**19),
    ],
    ids=["announced", "until the end", "in chunks", "on and on"],
)
def test_more_than_the_limit_is_refused(world: World, script: Script, taken: int) -> None:
    problem = world.refusal(MediaTooLarge, script, limit=2**19)
    assert problem.details == {"limit_bytes": 2**19}
    assert "0.5 MiB" in problem.message
    assert len(world.got) <= taken


def test_a_chunk_of_less_than_nothing_does_not_fill_the_memory(world: World) -> None:
    """``http.client`` takes -1 for a size, and its ``read()`` would then read until the server ends."""
    sent = 0

    def pieces() -> Iterable[bytes]:
        nonlocal sent
        yield chunked(end=b"-1\r\n")
        for _ in range(500):
            yield CLIP
            sent += 1

    world.refusal(FetchFailed, pieces)
    assert len(world.got) < 2**19
    assert sent < 50


@pytest.mark.parametrize(
    "script",
    [
        answer(b"abc", length=4),
        chunked(b"abc", end=b""),
        chunked(b"abc", end=b"5\r\nab"),
        chunked(end=b"x\r\n"),
        answer(b"abc", "Content-Length: 4"),
        answer(b"abc", length="3, 3"),
        answer(b"abc", length="+3"),
        answer(b"abc", length="-3"),
        answer(b"abc", length="9" * 5000),
        b"",
        b"SSH-2.0-OpenSSH_9.6 SECRET\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 20x OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 10**5 + b"\r\n\r\n",
    ],
)
def test_half_an_answer_is_no_answer(world: World, script: bytes) -> None:
    problem = world.refusal(FetchFailed, script)
    assert problem.status == 502
    assert problem.retryable


def _drip(first: bytes, piece: bytes) -> Callable[[], Iterable[bytes | float]]:
    def pieces() -> Iterable[bytes | float]:
        yield first
        while True:
            yield piece
            yield 0.05

    return pieces


@pytest.mark.parametrize(
    "script",
    [
        _drip(answer(length=10**6), b"x"),
        _drip(chunked(end=b""), b"1\r\nx\r\n"),
        _drip(b"HTTP/1.1 200 OK\r\nX: ", b"y"),
        _drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        _drip(redirect("/a"), b""),
        lambda: (answer(b"x", length=2), 5.0),
        lambda: (5.0,),
    ],
    ids=["body", "chunks", "header", "continue", "redirects", "a pause", "nothing"],
)
def test_the_deadline_holds_for_all_of_it(world: World, script: Script) -> None:
    began = time.monotonic()
    problem = world.refusal(FetchFailed, script, deadline_s=0.4, max_redirects=10**6)
    assert "took too long" in problem.message
    assert 0.3 < time.monotonic() - began < 2


def test_a_slow_name_server_keeps_nobody(world: World) -> None:
    over = threading.Event()

    def look_up(_host: str, _port: int) -> list[str]:
        over.wait(10)
        return [PLACE]

    began = time.monotonic()
    with pytest.raises(FetchFailed, match="took too long"):
        fetch("http://a.example/", world.got.extend, limit_bytes=9, deadline_s=0.3, network=Network(look_up))
    assert time.monotonic() - began < 2
    over.set()


def test_nobody_there(world: World) -> None:
    assert "no server of this name" in world.refusal(FetchFailed, url="http://no.example/a").message
    world.internet.ports.clear()
    assert "refused the connection" in world.refusal(FetchFailed).message
    world.internet.names["files.example"] = [[]]
    assert "can't be reached" in world.refusal(FetchFailed).message


def test_what_the_sink_raises_is_its_own(world: World) -> None:
    world.pages["/a"] = answer(CLIP)

    def full(_block: bytes) -> None:
        raise OSError(28, "no space")

    with pytest.raises(OSError, match="no space"):
        fetch("http://files.example/a", full, limit_bytes=2**21, deadline_s=5, network=world.internet.network)


# Encrypted.


class Authority:
    """A certificate authority of this test's own."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._sign("authority", self._key, x509.BasicConstraints(ca=True, path_length=0))

    def _sign(
        self, name: str, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType
    ) -> x509.Certificate:
        def title(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        today = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(title(name))
            .issuer_name(title("authority"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(today - datetime.timedelta(days=1))
            .not_valid_after(today + datetime.timedelta(days=1))
            .add_extension(extension, critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def server(self, folder: Path, host: str) -> ssl.SSLContext:
        """What a server of this host shows."""
        key = ec.generate_private_key(ec.SECP256R1())
        try:
            name: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            name = x509.DNSName(host)
        file = folder / "server.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + self._sign(host, key, x509.SubjectAlternativeName([name])).public_bytes(
                serialization.Encoding.PEM
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def _trusting(world: World, authority: Authority) -> None:
    pem = authority.certificate.public_bytes(serialization.Encoding.PEM).decode()
    world.internet.trust = ssl.create_default_context(cadata=pem)


@pytest.mark.parametrize("host", ["safe.example", OTHER])
def test_https_asks_for_the_name_at_the_checked_address(
    world: World, authority: Authority, tmp_path: Path, host: str
) -> None:
    _trusting(world, authority)
    context, named = authority.server(tmp_path, host), list[str | None]()
    context.sni_callback = lambda _line, name, _context: named.append(name)  # type: ignore[assignment]
    site = world.serve({"/a": answer(CLIP)}, OTHER, tls=context)
    world.internet.names["safe.example"] = [[OTHER]]
    shown = f"[{host}]" if ":" in host else host
    assert world.fetch(f"https://{shown}/a").size == len(CLIP)
    assert bytes(world.got) == CLIP
    assert world.internet.connected == [(OTHER, 443)]
    assert named == [None if ":" in host else host]  # an IP address is not asked for by name
    assert f"Host: {shown}\r\n" in site.requests[0]


def test_a_certificate_of_somebody_else_is_not_taken(
    world: World, authority: Authority, tmp_path: Path
) -> None:
    context = authority.server(tmp_path, "safe.example")
    site = world.serve({"/a": answer(CLIP)}, OTHER, tls=context)
    world.internet.names |= {"safe.example": [[OTHER]], "other.example": [[OTHER]]}
    assert "certificate" in world.refusal(FetchFailed, url="https://safe.example/a").message
    _trusting(world, authority)
    assert "certificate" in world.refusal(FetchFailed, url="https://other.example/a").message
    assert "encrypted" in world.refusal(FetchFailed, answer(b"x"), url="https://files.example/a").message
    assert site.requests == []


def test_a_redirect_does_not_lead_back_to_plain_http(
    world: World, authority: Authority, tmp_path: Path
) -> None:
    _trusting(world, authority)
    world.serve(
        {"/a": redirect("http://files.example/a")}, OTHER, tls=authority.server(tmp_path, "safe.example")
    )
    world.internet.names |= {"safe.example": [[OTHER]], "files.example": [[PLACE]]}
    world.pages["/a"] = answer(b"x")
    assert "from https to http" in world.refusal(FetchRefused, url="https://safe.example/a").message
    assert world.site.requests == []


def test_a_handshake_that_never_ends_has_a_deadline(world: World) -> None:
    world.pages["/a"] = answer(b"x")
    silent = socket.create_server(("127.0.0.1", 0))
    world.internet.ports[PLACE] = silent.getsockname()[1]
    began = time.monotonic()
    problem = world.refusal(FetchFailed, url="https://files.example/a", deadline_s=0.3)
    assert "took too long" in problem.message
    assert time.monotonic() - began < 2
    silent.close()


def test_a_server_that_trickles_is_cut(world: World) -> None:
    """A byte now and then keeps no thread until the deadline: neither of the headers nor of the file."""

    def trickle() -> Iterable[bytes | float]:
        yield answer(b"", length=len(CLIP))
        for index in range(400):
            yield CLIP[index : index + 1]
            yield 0.01

    def trickled_headers() -> Iterable[bytes | float]:
        for byte in answer(CLIP)[:400]:
            yield bytes([byte])
            yield 0.01

    for script in (trickle, trickled_headers):
        problem = world.refusal(FetchFailed, script, pace=Pace(16 * 1024, 0.1), deadline_s=60.0)
        assert "it sends too slowly" in problem.message


def test_who_reads_slowly_is_not_the_servers_fault() -> None:
    pace = Pace(1000.0, 1.0)
    for _ in range(50):  # each 64 KiB came at once, whatever lay between
        pace.note(0.01, 2**16)
    pace.note(0.9, 500)
    with pytest.raises(TimeoutError):
        pace.note(1.2, 500)
