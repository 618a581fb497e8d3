from __future__ import annotations

from ipaddress import IPv4Address, ip_address
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from likeness.public_addresses import is_public, require_public, require_public_name, web_address
from likeness.refusals import FetchRefused

PUBLIC = (
    "93.184.216.34",
    "8.8.8.8",
    "2606:2800:220:1::1",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "100.63.255.255",
)
INSIDE = (
    "10.0.0.1",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.8.8.8",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "::1",
    "fc00::1",
    "fd12:3456::1",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::7f00:1",
)
NOWHERE = (
    "0.0.0.0",
    "0.1.2.3",
    "168.63.129.16",
    "169.254.169.254",
    "169.254.170.2",
    "100.100.100.200",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::7f00:1",
    "::127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:0808:0808::1",
    "3fff::1",
    "5f00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "2606:2800:220:1::1%eth0",
    "fec0::1",
    "ff02::1",
    "not an address",
)


@pytest.mark.parametrize("address", PUBLIC)
def test_the_internet_is_public(address: str) -> None:
    assert is_public(address)
    require_public(web_address("https://a.example/"), [address])


@pytest.mark.parametrize("address", INSIDE)
def test_a_network_of_ones_own_is_public_to_nobody(address: str) -> None:
    assert not is_public(address)
    with pytest.raises(FetchRefused, match="private network"):
        require_public(web_address("https://a.example/"), [address])
    require_public(web_address("https://a.example/"), [address], allow_private=True)


@pytest.mark.parametrize("address", NOWHERE)
def test_where_no_file_can_lie_is_never_called(address: str) -> None:
    assert not is_public(address)
    for allow_private in (False, True):
        with pytest.raises(FetchRefused):
            require_public(web_address("https://a.example/"), [address], allow_private=allow_private)


def test_one_address_inside_is_enough_to_refuse_a_name() -> None:
    with pytest.raises(FetchRefused) as caught:
        require_public(web_address("https://a.example/"), ["93.184.216.34", "10.1.2.3"])
    assert "10.1.2.3" not in str(caught.value.as_dict())


@given(st.integers(0, 2**32 - 1))
@example(int(IPv4Address("10.0.0.0")))
@example(int(IPv4Address("172.31.255.255")))
def test_an_ipv4_address_is_judged_alike_in_every_spelling(number: int) -> None:
    address = IPv4Address(number)
    public = is_public(str(address))
    assert public <= (address.is_global and not address.is_multicast)
    assert is_public(f"::ffff:{address}") == public
    assert is_public(f"64:ff9b::{address}") == public
    assert not is_public(f"::{address}")
    assert not is_public(f"2002:{number >> 16:x}:{number & 0xFFFF:x}::1")


@given(st.integers(0, 2**128 - 1), st.sampled_from((0, 0x2001, 0x2606, 0xFC00, 0xFE80, 0xFF02)))
def test_a_public_ipv6_address_is_global(number: int, start: int) -> None:
    address = ip_address((start << 112) | (number >> 16))
    assert is_public(str(address)) <= address.is_global


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://Example.COM", "https://example.com/"),
        ("https://example.com.:443/a#part", "https://example.com/a"),
        ("http://example.com:8080/a%20b?c=d%2Fe&f", "http://example.com:8080/a%20b?c=d%2Fe&f"),
        ("https://example.com/süß und gut", "https://example.com/s%C3%BC%C3%9F%20und%20gut"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("http://93.184.216.34/a", "http://93.184.216.34/a"),
        ("http://[2606:2800:220:1:0:0:0:1]:8080/a", "http://[2606:2800:220:1::1]:8080/a"),
        ("  https://example.com?a=b ", "https://example.com/?a=b"),
        # As the digits and dots that they stand for:
        ("http://１２７。0。0。1/", "http://127.0.0.1/"),
    ],
)
def test_an_address_has_one_spelling(url: str, shown: str) -> None:
    assert web_address(url).url == shown


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com/a.mp4",
        "//example.com/a.mp4",
        "file:///etc/passwd",
        "ftp://example.com/a",
        "gopher://example.com/_x",
        "data:text/plain,a",
        "http:///a",
        "http://:80/a",
        "https://user@example.com/",
        "https://user:password@example.com/",
        "https://@example.com/",
        "https://example.com@127.0.0.1/",
        "https://example.com:0/",
        "https://example.com:65536/",
        "https://example.com:x/",
        "https://example.com/a\r\nHost: inside",
        "https://example.com\r\n.evil.example/",
        "https://exam\tple.com/",
        "\x00https://example.com/",
        "https://example.com\\@inside/",
        "https://exa mple.com/",
        "https://example.com%2einside/",
        "https://-a.example/",
        "https://a..example/",
        "https://" + "a" * 64 + ".example/",
        "https://" + "a." * 130 + "example/",
        "https://example.com/" + "a" * 5000,
        "https://a.example]/",
        "http://[::1",
        "http://[fe80::1%25eth0]/",
        "http://[v1.a]/",
        "http://[127.0.0.1]/",
        "http://[example.com]/",
        "http://example.com[::1]/",
        "http://[::1]example.com:80/",
        "http://[::1][::2]/",
        "http://::1/",
        "http://2130706433/",
        "http://017700000001/",
        "http://0x7f000001/",
        "http://0x7f.0.0.1/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://127.0.1/",
        "http://127.0.0.01/",
        "http://127.0.0.1.5/",
        "http://256.0.0.1/",
        "http://example.0x/",
        "http://①②⑦.1/",
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(url: str) -> None:
    with pytest.raises(FetchRefused) as caught:
        web_address(url)
    assert caught.value.remedy
    assert caught.value.status == 422


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST.",
        "a.localhost",
        "ⓛocalhost",
        "localhost.localdomain",
        "postgres",
        "ip6-loopback",
    ],
)
def test_names_of_the_own_network_are_refused_before_anybody_is_asked(host: str) -> None:
    address = web_address(f"http://{host}/")
    with pytest.raises(FetchRefused, match="private network"):
        require_public_name(address)
    require_public_name(address, allow_private=True)


@given(
    st.one_of(
        st.text(max_size=60),
        st.builds(
            "{}://{}{}".format, st.sampled_from(("http", "https")), st.text(max_size=30), st.text(max_size=30)
        ),
    )
)
def test_any_text_is_refused_or_has_one_reading(url: str) -> None:
    try:
        address = web_address(url)
    except FetchRefused:
        return
    again = urlsplit(address.url)
    assert (again.scheme, again.hostname) == (address.scheme, address.host)
    assert web_address(address.url) == address
    assert address.url.isascii()
    assert address.url.isprintable()
    assert " " not in address.url
