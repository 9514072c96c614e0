"""Which hosts beside Label Studio images may be read from, and where their names lead.

Label Studio may answer for an image of a cloud storage with a signed address in that cloud. Such
an address is followed only to a host that the installation names (`CARPAL_IMAGE_HOSTS`).
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urlsplit, urlunsplit

from data.errors import InvalidInputError, ServiceUnavailableError

SETTING = "CARPAL_IMAGE_HOSTS"
PRIVATE = "private:"
"""Before the name of a host that may lie in a private network."""
PORTS = {"https": 443, "http": 80}
_ENTRY = re.compile(r"([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::([0-9]{1,5}))?")
_UNSAFE = re.compile(r"[^\x21-\x7e]|\\")
"""What programs that read addresses do not agree about."""

Lookup: TypeAlias = Callable[[str, int], list[str]]
"""Host and port -> the IP addresses that it has; OSError: the name is not known."""
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class ImageHost:
    """A host that images are read from.

    Attributes:
        name: Its name, in lower case.
        port: Its port; None: the ordinary one.
        private: Whether it may lie in a private network, or on this machine.
    """

    name: str
    port: int | None = None
    private: bool = False


@dataclass(frozen=True, slots=True)
class Destination:
    """A checked address.

    Attributes:
        url: The address, without fragment.
        host: Its host.
        port: Its port.
        ips: IP addresses to connect to, the first that answers; the name is not looked up again.
    """

    url: str
    host: str
    port: int
    ips: tuple[str, ...]


def read_image_hosts(text: str) -> tuple[ImageHost, ...]:
    """Reads `name`, `name:port` or `private:name`, by comma.

    Raises:
        InvalidInputError: Something there is no host name.
    """
    return tuple(_entry(item.strip().lower()) for item in text.split(",") if item.strip())


def addresses_of(host: str, port: int) -> list[str]:
    """Returns the IP addresses of a name, in the order in which they are to be tried."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def destination(url: str, hosts: Iterable[ImageHost], lookup: Lookup = addresses_of) -> Destination:
    """Returns where an address leads.

    `http` is followed to this machine alone.

    Raises:
        InvalidInputError: It may not be followed.
        ServiceUnavailableError: Its host is not known to DNS.
    """
    scheme, name, port, plain = _parts(url)
    host = next((h for h in hosts if (h.name, h.port or PORTS[scheme]) == (name, port)), None)
    if host is None:
        shown = name if port == PORTS[scheme] else f"{name}:{port}"
        raise InvalidInputError(
            f"Label Studio sends on to {shown} for the image, which is not read from there unless "
            f"{SETTING} names {shown}."
        )
    try:
        found = [_unwrapped(ipaddress.ip_address(one)) for one in lookup(name, port)]
    except (OSError, ValueError) as error:
        raise ServiceUnavailableError(f"The host {name} of the image is not found.") from error
    _require_allowed(host, found)
    if scheme == "http" and not all(one.is_loopback for one in found):
        raise InvalidInputError(f"The host {name} of the image is not asked without https.")
    return Destination(plain, name, port, tuple(map(str, found)))


def _entry(text: str) -> ImageHost:
    found = _ENTRY.fullmatch(text.removeprefix(PRIVATE))
    if found is None or int(found[2] or 1) not in range(1, 65536):
        raise InvalidInputError(
            f"{SETTING}: {text!r} is no host name; allowed are name, name:port and {PRIVATE}name."
        )
    return ImageHost(found[1], int(found[2]) if found[2] else None, text.startswith(PRIVATE))


def _parts(url: str) -> tuple[str, str, int, str]:
    """Returns scheme, host, port and the address without fragment."""
    refusal = InvalidInputError("Label Studio sends on to no web address for the image.")
    if _UNSAFE.search(url):
        raise refusal
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise refusal from error
    if parts.scheme not in PORTS or not parts.hostname or "@" in parts.netloc:
        raise refusal
    plain = urlunsplit((parts.scheme, parts.netloc, parts.path or "/", parts.query, ""))
    return parts.scheme, parts.hostname, port or PORTS[parts.scheme], plain


def _unwrapped(ip: Address) -> Address:
    """Returns the IPv4 address that an IPv6 address stands for, if it does."""
    if isinstance(ip, ipaddress.IPv6Address):
        nat64 = ip in ipaddress.ip_network("64:ff9b::/96")
        inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if nat64 else None
        return inner or ip.ipv4_mapped or ip.sixtofour or ip
    return ip


def _require_allowed(host: ImageHost, found: list[Address]) -> None:
    never = any(one.is_link_local or one.is_multicast or one.is_unspecified for one in found)
    if never or not found:
        raise InvalidInputError(f"The host {host.name} leads to an address that is never asked.")
    if not host.private and not all(one.is_global for one in found):
        raise InvalidInputError(
            f"The host {host.name} leads into a private network; images are not read from there "
            f"unless {SETTING} names {PRIVATE}{host.name}."
        )
