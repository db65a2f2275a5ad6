"""[webhook] ALLOWED_HOST_LIST: which hosts the forge's deliveries may go to, judged when it dials.

A hook to any address can be made; only its delivery is refused, and only its history tells.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

__all__ = ["EVERYTHING", "AllowList"]

EVERYTHING = "*"

Address = IPv4Address | IPv6Address

_PRIVATE = tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")))
# No longer external since Gitea 1.26.3: shared by providers, for benchmarks, for documentation …
_RESERVED = tuple(
    map(
        ip_network,
        ("100.64.0.0/10", "198.18.0.0/15", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"),
    )
)


@dataclass(frozen=True, slots=True)
class AllowList:
    """The setting's value, and where it stands in the product's settings, for the refusal's words."""

    value: str
    key: str
    reserved_is_external: bool

    def refusal(self, host: str, address: str) -> str:
        """What the history says of a delivery to this host at this address; "" where it may go."""
        entries = [entry.strip().lower() for entry in self.value.split(",") if entry.strip()]
        where = ip_address(address.partition("%")[0])
        if any(self._lets_in(entry, host.lower(), where) for entry in entries or ["external"]):
            return ""
        return (
            f"webhook can only call allowed HTTP servers (check your {self.key} setting),"
            f" deny '{host}({address})'"
        )

    def _lets_in(self, entry: str, host: str, address: Address) -> bool:
        builtins: dict[str, Callable[[Address], bool]] = {
            EVERYTHING: lambda _address: True,
            "loopback": lambda address: address.is_loopback,
            "private": _is_private,
            "external": self._is_external,
        }
        if entry in builtins:
            return builtins[entry](address)
        if "/" in entry or entry == str(address):
            return address in ip_network(entry, strict=False)
        return fnmatchcase(host, entry)

    def _is_external(self, address: Address) -> bool:
        if not self.reserved_is_external and any(address in net for net in _RESERVED):
            return False
        special = (address.is_loopback, address.is_unspecified, address.is_multicast)
        return not (any(special) or address.is_link_local or _is_private(address))


def _is_private(address: Address) -> bool:
    return any(address in network for network in _PRIVATE)
