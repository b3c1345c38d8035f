"""Where webhooks may lead: a stranger's URL must not reach our own network.

A name may lead anywhere, and elsewhere a moment later. So the address that is checked
is the one that is connected to.
"""

import ipaddress
import re
import socket
from urllib.parse import SplitResult, urlsplit

IPV6_UNICAST = ipaddress.ip_network("2000::/3")
# Public by their numbers, for some versions of Python at least: an IPv4 address in
# disguise, protocol assignments, a cloud's metadata.
REFUSED = [
    ipaddress.ip_network(network)
    for network in ("2002::/16", "192.0.0.0/24", "168.63.129.16/32")
]
PORTS = {"https": 443, "http": 80}
MAX_URL_LENGTH = 2000
# A host's name, for a certificate; a port that is no other service's own.
PUBLIC_URL = (
    r"^https://([A-Za-z0-9-]{1,63}\.){1,20}[A-Za-z][A-Za-z0-9-]{0,62}"
    r"(:(443|[1-9][0-9]{3}|[1-5][0-9]{4}))?([/?][!\"$-\[\]-~]*)?$"
)
PRIVATE_URL = r"^https?://[^/?#@\\ ]+([/?][!\"$-\[\]-~]*)?$"
ADVICE = (
    "Give a URL such as https://example.com/hook: a host's name, port 443 or one from "
    "1000 to 59999, no user, no fragment."
)


class RefusedAddressError(ValueError):
    """A webhook may not lead there; the message says why."""


def parse(url: str, *, private: bool) -> SplitResult:
    """A URL that a webhook may have; raises RefusedAddressError.

    `private` allows http and every host and port. Where a name leads is checked when
    it is connected to.
    """
    pattern = PRIVATE_URL if private else PUBLIC_URL
    try:
        parts = urlsplit(url)
        # Reading a port checks it.
        is_url = parts.port != 0 and bool(parts.hostname)
    except ValueError:
        is_url = False
    if not is_url or not re.fullmatch(pattern, url) or len(url) > MAX_URL_LENGTH:
        raise RefusedAddressError(ADVICE)
    return parts


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
