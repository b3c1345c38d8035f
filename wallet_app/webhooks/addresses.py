"""Where webhooks may lead: a stranger's URL must not reach our own network.

A name may lead anywhere, and elsewhere a moment later. So the address that is checked
is the one that is connected to.
"""

import ipaddress
import socket
from urllib.parse import SplitResult, urlsplit

IPV6_UNICAST = ipaddress.ip_network("2000::/3")
# Public by their numbers: an IPv4 address in disguise, a cloud's metadata.
REFUSED = (ipaddress.ip_network("2002::/16"), ipaddress.ip_network("168.63.129.16/32"))
PORTS = {"https": 443, "http": 80}
# Below are other services' own ports: mail, shells, directories.
FIRST_FREE_PORT = 1024
MAX_URL_LENGTH = 2000


class RefusedAddressError(ValueError):
    """A webhook may not lead there; the message says why."""


def parse(url: str, *, private: bool) -> SplitResult:
    """A URL that a webhook may have; raises RefusedAddressError.

    `private` allows private addresses, every port, and http.
    """
    if len(url) > MAX_URL_LENGTH or not url.isascii() or not url.isprintable():
        raise RefusedAddressError(
            f"Give a URL of at most {MAX_URL_LENGTH} printable ASCII characters."
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise RefusedAddressError("This is not a URL.") from None
    if parts.scheme not in (PORTS if private else ("https",)):
        raise RefusedAddressError("Give a URL that begins with https://.")
    if not parts.hostname or " " in url or "\\" in url:
        raise RefusedAddressError("This is not a URL.")
    if "@" in parts.netloc:
        raise RefusedAddressError("Leave user and password out of the URL.")
    if parts.fragment:
        raise RefusedAddressError("Leave the fragment (#...) out of the URL.")
    if port is not None and not private:
        refuse_port(port)
    refuse_literal(parts.hostname, private=private)
    return parts


def refuse_port(port: int) -> None:
    if port != PORTS["https"] and port < FIRST_FREE_PORT:
        raise RefusedAddressError(f"Give port 443, or one from {FIRST_FREE_PORT} up.")


def refuse_literal(host: str, *, private: bool) -> None:
    """Say it at once where the URL itself has the address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return  # A name: its addresses are checked when it is connected to.
    if not private:
        refuse_private(host)


def refuse_private(address: str) -> None:
    """Raise RefusedAddressError unless an address is a public one."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    public = ip.is_global and not ip.is_multicast
    if ip.version == 6:
        # What lies outside maps IPv4 addresses, or is of local use.
        public = public and ip in IPV6_UNICAST
    if not public or any(ip in network for network in REFUSED):
        raise RefusedAddressError(f"{address} is not a public address.")


def resolve(host: str, port: int, *, private: bool) -> list[tuple[int, str]]:
    """Family and address of a host; raises RefusedAddressError if one is private."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses: list[tuple[int, str]] = [
        (family, str(place[0])) for family, *_, place in found
    ]
    if not private:
        for _, address in addresses:
            refuse_private(address)
    return addresses
