"""Whether a forge may post to this coordinator's address, and what its administrator must allow.

Pure. A forge dials a webhook's host only if ALLOWED_HOST_LIST has its address; by default that is
`external`. Gitea from 1.26.3 no longer counts shared and reserved networks as external (go-gitea/gitea
#38039, #38059), and from 1.27 the key belongs to `[security]`; Forgejo keeps the older rules.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Literal

from coordinator.edges.gitea_remote_wire import ForgeInfo, RemoteHook

__all__ = ["Allowance", "Kind", "allowance", "kind_of", "sends_test", "version_of"]

Kind = Literal["external", "loopback", "private", "shared", "reserved", "special"]
Address = IPv4Address | IPv6Address

# What Go's net/netip calls private: RFC 1918 and RFC 4193.
_PRIVATE = tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")))
_SHARED = ip_network("100.64.0.0/10")
_NARROWED_IN = (1, 26, 3)
_MOVED_IN = (1, 27)
_WORDS: dict[Kind, str] = {
    "external": "a public address",
    "loopback": "this machine alone (seen from the forge, the forge's own)",
    "private": "a private address",
    "shared": "an address shared by a provider's or an overlay network (Tailscale uses these)",
    "reserved": "an address reserved for documentation or tests",
    "special": "an address that is not routed",
}


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the forge makes of the addresses of one receiver, unless its administrator says else.

    `entry` is what its ALLOWED_HOST_LIST lacks, "" for nothing; `entry_later` what it will lack from
    Gitea 1.26.3 on.
    """

    kinds: tuple[tuple[str, Kind], ...]
    section: Literal["security", "webhook"]
    entry: str
    entry_later: str

    def told_of(self, host: str) -> str:
        """What the host is, in words."""
        words = [
            _WORDS[kind] if address == host.strip("[]") else f"{address}, {_WORDS[kind]}"
            for address, kind in self.kinds
        ]
        return f"{host} is {' and '.join(words)}"

    @property
    def ini(self) -> tuple[str, str]:
        """The lines for the forge's app.ini, as they are where nothing is set yet."""
        return f"[{self.section}]", f"ALLOWED_HOST_LIST = external,{self.entry or self.entry_later}"


def allowance(addresses: Sequence[str], info: ForgeInfo | None) -> Allowance:
    """What must be allowed for a receiver with these addresses; without `info`, of the newest Gitea."""
    found = [_plain(ip_address(text.partition("%")[0])) for text in addresses]
    kinds = {address: kind_of(address) for address in found}
    is_narrow = info is None or (info.product == "gitea" and version_of(info) >= _NARROWED_IN)
    at_once = [each for each, kind in kinds.items() if _is_refused(kind, is_narrow=is_narrow)]
    later = [each for each, kind in kinds.items() if _is_refused(kind, is_narrow=True)]
    is_moved = info is None or (info.product == "gitea" and info.api_level >= _MOVED_IN)
    return Allowance(
        kinds=tuple((str(address), kind) for address, kind in kinds.items()),
        section="security" if is_moved else "webhook",
        entry=_entry(at_once),
        entry_later=_entry(later),
    )


def kind_of(address: Address) -> Kind:
    """The class of an address by which forges allow it."""
    if address.is_loopback:
        return "loopback"
    if any(address in network for network in _PRIVATE):
        return "private"
    if address.is_unspecified or address.is_multicast or address.is_link_local:
        return "special"
    if address in _SHARED:
        return "shared"
    return "external" if address.is_global else "reserved"


def _is_refused(kind: Kind, *, is_narrow: bool) -> bool:
    return kind in ("loopback", "private", "special") or (is_narrow and kind != "external")


def _plain(address: Address) -> Address:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _entry(addresses: Sequence[Address]) -> str:
    """The narrowest words of the list that let these in."""
    entries = ["loopback" if each.is_loopback else f"{each}/{each.max_prefixlen}" for each in addresses]
    return ",".join(dict.fromkeys(entries))


# the test delivery ------------------------------------------------------------------------------

# From here on a test reaches hooks without push events too (#38455; forgejo #11073).
_TESTS_ANY_SINCE = {"gitea": (1, 27, 1), "forgejo": (15, 0, 0)}


def sends_test(info: ForgeInfo, hook: RemoteHook) -> bool:
    """Whether a test delivery to this hook leaves the forge."""
    return "push" in hook.events or version_of(info) >= _TESTS_ANY_SINCE[info.product]


def version_of(info: ForgeInfo) -> tuple[int, int, int]:
    """The product's own version; what cannot be read counts as 0."""
    pieces = info.version.lstrip("v").split("+")[0].split("-")[0].split(".")
    numbers = [int(piece) if piece.isascii() and piece.isdigit() else 0 for piece in pieces[:3]]
    first, second, third = (*numbers, 0, 0, 0)[:3]
    return first, second, third
