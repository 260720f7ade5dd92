"""Whose address a request comes from, and what is counted as one address."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

UNKNOWN: Final = "unknown"
_IPV6_BITS: Final = 64
"""What one customer is given; within it anybody may take as many addresses as they like."""
_REMEMBERED: Final = 10_000
_LONGEST_CHAIN: Final = 32
_CHARACTERS_READ: Final = 1_024
"""The end of `X-Forwarded-For` that counts; with `_REMEMBERED` it bounds what a sender makes us keep."""


class Origin:
    """Reads the client's address from a connection and what proxies have written.

    `X-Forwarded-For` counts only where the peer is one of `trusted_proxies`, and of it the last entry that
    is none of them: everything before that one the client may have made up.
    """

    def __init__(
        self, trusted_proxies: Sequence[Network] = (), known_networks: Sequence[Network] = ()
    ) -> None:
        self._trusted = tuple(trusted_proxies)
        # The smallest first: a school within a university's network counts by itself.
        self._known = tuple(sorted(known_networks, key=lambda each: each.num_addresses))
        self._is_proxy = lru_cache(_REMEMBERED)(self._is_one_of_the_proxies)
        self._counted = lru_cache(_REMEMBERED)(self._counted_as)

    def of(self, peer: str, forwarded: str) -> tuple[str, bool]:
        """What is counted as one (an address, an IPv6 network, a known network), and whether it is known."""
        # Only what can matter is remembered: a stranger may send any header, each time another.
        believed = _end_of(forwarded) if forwarded and self._is_proxy(peer) else ""
        return self._counted(peer, believed)

    def _is_one_of_the_proxies(self, peer: str) -> bool:
        address = _address(peer)
        return address is not None and any(address in network for network in self._trusted)

    def _counted_as(self, peer: str, forwarded: str) -> tuple[str, bool]:
        address = self._client(peer, forwarded)
        if address is None:
            return UNKNOWN, False
        for network in self._known:
            if address in network:
                return str(network), True
        if isinstance(address, IPv6Address):
            return str(ip_network((int(address), _IPV6_BITS), strict=False)), False
        return str(address), False

    def _client(self, peer: str, forwarded: str) -> Address | None:
        address = _address(peer)
        for entry in reversed(forwarded.split(",")[-_LONGEST_CHAIN:]):
            if address is None or not any(address in network for network in self._trusted):
                break
            before = _address(entry)
            if before is None:
                break  # not an address: the proxy that wrote it is the last one known
            address = before
        return address


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Raises ValueError, which names what is none."""
    return tuple(ip_network(each.strip()) for each in texts)


def _end_of(forwarded: str) -> str:
    if len(forwarded) <= _CHARACTERS_READ:
        return forwarded
    # An entry that is cut in two would be read as another address.
    return forwarded[-_CHARACTERS_READ:].partition(",")[2]


def _address(text: str) -> Address | None:
    host = text.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]  # [::1]:443
    elif host.count(":") == 1:
        host = host.partition(":")[0]  # 192.0.2.1:443
    try:
        address = ip_address(host)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
