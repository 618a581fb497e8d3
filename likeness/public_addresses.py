"""Which addresses the service itself may call on behalf of a client: what is on the public internet, and nothing else.

A client names addresses (a file to fetch, a webhook to call), and the service stands inside of somebody's network. So
an address is taken apart here once, strictly, and every IP address its name stands for must be public. Whoever calls
then connects to the IP address that was checked (:mod:`likeness.outgoing`): a name asked for twice may answer twice.

What can't be seen from here: an IPv6 prefix that the own network's NAT64 uses beside the well-known one. Such a network
has to keep its translator from reaching inside.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import quote, urlsplit

from likeness.refusals import FetchRefused

DEFAULT_PORTS = {"http": 80, "https": 443}
LONGEST = 4096
"""Characters of an address; signed ones of object stores have up to about 2000."""

_INSIDE_4 = tuple(
    IPv4Network(net)
    for net in ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
)
"""Networks of one's own. 100.64/10 is the carriers' (CGNAT); VPNs such as Tailscale number their hosts from it."""
_INSIDE_6 = (IPv6Network("::1/128"), IPv6Network("fc00::/7"))

_NOWHERE_4 = tuple(
    IPv4Network(net)
    for net in (
        "0.0.0.0/8",
        "168.63.129.16/32",  # Azure's own service, which answers from inside of a virtual machine's host only
        "169.254.0.0/16",  # link-local, and the metadata service of most clouds
        "192.0.0.0/24",  # protocol assignments; 192.0.0.192 is Oracle's metadata service
        "192.0.2.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
"""Never called, wherever the service stands: IANA's special-purpose addresses, and what clouds keep credentials on."""
_NOWHERE_6 = tuple(
    IPv6Network(net)
    for net in (
        "2001::/23",  # protocol assignments, with Teredo, which carries an IPv4 address
        "2001:db8::/32",
        "2002::/16",  # 6to4 carries an IPv4 address too, and nobody has served from there for years
        "3fff::/20",
    )
)
_PUBLIC_6 = IPv6Network("2000::/3")
_METADATA = frozenset(map(ip_address, ("100.100.100.200", "fd00:ec2::254", "fd20:ce::254")))
"""Metadata services (Alibaba, AWS, Google) that lie in networks of one's own."""
_NAT64 = IPv6Network("64:ff9b::/96")
_LOCAL_NAMES = frozenset(("localhost", "localdomain", "localhost6", "ip6-localhost", "ip6-loopback"))

_PLACE = re.compile(r"(?:\[[^][]+\]|[^][:]+)(?::[0-9]*)?")
"""A host and perhaps a port; ``urlsplit`` overlooks what stands before or behind brackets."""
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.(?!-)[a-z0-9_-]{1,63})*")
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*")
_KEPT = "/?%:@!$&'()*+,;=~-._[]|"


@dataclass(frozen=True)
class WebAddress:
    """An http or https address, taken apart once."""

    scheme: str
    host: str
    """A name in ASCII and small letters, or an IP address without brackets."""
    port: int
    target: str
    """Path and query, as they stand in a request."""

    @property
    def is_ip(self) -> bool:
        """Whether the host is an IP address, so that nothing has to be looked up."""
        return ":" in self.host or _NUMBER.fullmatch(self.host.rpartition(".")[2]) is not None

    @property
    def authority(self) -> str:
        """Host and port as the ``Host`` header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The whole address in one spelling."""
        return f"{self.scheme}://{self.authority}{self.target}"


def web_address(url: str) -> WebAddress:
    """Take an address apart, by one strict reading: what two parsers could read differently is refused.

    Raises:
        FetchRefused: no http or https, control characters, a name and password, or a host that is neither a name nor
            an IP address in its usual spelling.
    """
    if len(url) > LONGEST:
        raise _refused(f"the address is longer than {LONGEST} characters", "use a shorter address")
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in url) or "\\" in url:
        raise _refused(
            "the address has line breaks, control characters or backslashes",
            "send the address as a browser shows it",
        )
    try:
        parts = urlsplit(url.strip())
        scheme, given, port = parts.scheme, parts.hostname or "", parts.port
    except ValueError as error:
        raise _refused("the address can't be read", "send the address as a browser shows it") from error
    if scheme not in DEFAULT_PORTS or not given:
        raise _refused("this is no http address", "use an address that begins with https://")
    if "@" in parts.netloc:
        raise _refused(
            "the address has a user name or password in it",
            "use a signed address of your object store, or send the file itself",
        )
    if not _PLACE.fullmatch(parts.netloc):
        raise _unknown_host()
    if port == 0:
        raise _refused("there is no port 0", "leave the port out, or correct it")
    target = quote(parts.path or "/", safe=_KEPT) + (
        f"?{quote(parts.query, safe=_KEPT)}" if parts.query else ""
    )
    return WebAddress(scheme, _host(given, "[" in parts.netloc), port or DEFAULT_PORTS[scheme], target)


def _host(given: str, bracketed: bool) -> str:
    """The host in its one spelling."""
    if bracketed:
        try:
            found = ip_address(given)
        except ValueError:
            found = None
        if not isinstance(found, IPv6Address) or found.scope_id:
            raise _unknown_host()
        return found.compressed
    try:
        # Also turns what only looks like a digit, a letter or a dot into it, before the rules are applied.
        name = (given if given.isascii() else given.encode("idna").decode()).lower().removesuffix(".")
    except UnicodeError as error:
        raise _unknown_host() from error
    if len(name) > 253 or not _NAME.fullmatch(name):
        raise _unknown_host()
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        # 2130706433, 0x7f.1 and 0177.0.0.1 are 127.0.0.1 to a C library; ipaddress takes four plain decimals only.
        try:
            return str(IPv4Address(name))
        except ValueError as error:
            raise _unknown_host() from error
    return name


def is_public(address: str) -> bool:
    """Whether an IP address lies on the public internet."""
    return _place(address) == "public"


def require_public_name(address: WebAddress, *, allow_private: bool = False) -> None:
    """Refuse names that stand for something inside before anybody is asked for them.

    Raises:
        FetchRefused: ``localhost``, or a name without a dot, which is one of the own network's.
    """
    if allow_private or address.is_ip:
        return
    if "." not in address.host or address.host.rpartition(".")[2] in _LOCAL_NAMES:
        raise _inside(address)


def require_public(address: WebAddress, found: Iterable[str], *, allow_private: bool = False) -> None:
    """Refuse an address unless each IP address that was found for its host may be called.

    Args:
        allow_private: networks of one's own count too; metadata services, link-local and multicast addresses never.

    Raises:
        FetchRefused: one may not. The message names the host, not what it stands for.
    """
    allowed = ("public", "inside") if allow_private else ("public",)
    if not all(_place(each) in allowed for each in found):
        raise _inside(address)


def _place(address: str) -> str:
    """``public``, ``inside`` (a network of one's own) or ``nowhere``."""
    try:
        found = ip_address(address)
    except ValueError:
        return "nowhere"
    if isinstance(found, IPv6Address):
        if found.scope_id:
            return "nowhere"
        if found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        elif found in _NAT64:
            found = IPv4Address(int(found) & 0xFFFFFFFF)
    if found in _METADATA:
        return "nowhere"
    if isinstance(found, IPv4Address):
        if any(found in net for net in _INSIDE_4):
            return "inside"
        return "nowhere" if any(found in net for net in _NOWHERE_4) else "public"
    if any(found in net for net in _INSIDE_6):
        return "inside"
    return "public" if found in _PUBLIC_6 and not any(found in net for net in _NOWHERE_6) else "nowhere"


def _refused(message: str, remedy: str) -> FetchRefused:
    return FetchRefused(message, remedy=remedy)


def _unknown_host() -> FetchRefused:
    return _refused(
        "the address's host is neither a name nor an IP address as it is usually written",
        "send the address as a browser shows it",
    )


def _inside(address: WebAddress) -> FetchRefused:
    return FetchRefused(
        f"{address.host} is an address inside of a private network",
        remedy="use an address that everybody can reach, or send the file itself",
        details={"host": address.host},
    )
