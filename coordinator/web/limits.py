"""How long and how much the server puts up with; every number is a bound somebody may lean on."""

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one server.

    A forge's client has no idle timeout of its own and never repeats a POST, so an idle connection
    we close at the wrong moment is a lost delivery: `keep_alive_s` is long, and room is made by
    evicting when `max_connections` is reached instead.
    """

    # 512 connections of 17 KB each are 9 MB, and a forge opens at most ten.
    max_connections: int = 512
    # Issue bodies may be as long as a database column; 8 MiB is far beyond any seen.
    max_body_bytes: int = 8 * 1024 * 1024
    # Bodies longer than 64 KiB share this much memory while they arrive.
    max_buffered_bytes: int = 64 * 1024 * 1024
    # A request head of 16 KiB arrives in one packet or a few; ten seconds is a very bad line.
    header_timeout_s: float = 10.0
    body_timeout_s: float = 10.0
    write_timeout_s: float = 10.0
    keep_alive_s: float = 300.0
    # Time for a client to read our last words before the socket goes (RFC 9112 section 9.6).
    linger_s: float = 1.0
    # Below the supervisor's own deadline for the web child, so that it never has to force us.
    graceful_s: float = 3.0
