"""Which address a request comes from: the connection's, or what our proxies say."""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

from flask import Flask, Request
from werkzeug.middleware.proxy_fix import ProxyFix

from wallet_app.config import Settings

UNKNOWN = "unknown"
# A home or a host has so much of IPv6 at least, and may use each address of it.
IPV6_PREFIX = 64


def init_app(app: Flask, settings: Settings) -> None:
    """Believe the last entries of X-Forwarded-For: as many as there are own proxies.

    A client may write the header too, and everything before what our proxies append.
    """
    if settings.trusted_proxies:
        proxied = ProxyFix(app.wsgi_app, x_for=settings.trusted_proxies, x_proto=0)
        app.wsgi_app = proxied  # type: ignore[method-assign]


def address_of(request: Request) -> str:
    """The IPv4 address, or the IPv6 network, that a request comes from."""
    return network_of(request.remote_addr or "")


@lru_cache(maxsize=10_000)
def network_of(address: str) -> str:
    """What one client can hardly have several of; UNKNOWN if it is no address."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return UNKNOWN
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped:
            return str(ip.ipv4_mapped)
        return str(ip_network((ip, IPV6_PREFIX), strict=False))
    return str(ip)
