"""The errors that cross a floor, sorted by who is at fault.

CoordinatorError
├─ SettingsError          the operator's: a setting is missing, wrong or unusable
├─ SenderError            the sender's: what was sent cannot be used as it is
│   └─ PayloadInvalid     signed, but not the shape the forge documents
├─ JournalError           ours or the disk's
│   ├─ JournalUnavailable it cannot commit now and will be tried again (full, locked, I/O error)
│   ├─ JournalCorrupt     the file is not a sound database; it is left untouched
│   ├─ JournalTooNew      written by a newer version of this program
│   └─ JournalInUse       another process holds the file
└─ VendorError            somebody else's: Claude, the forge, an agent
    ├─ VendorUnavailable  worth another try after `retry_after_s`
    └─ VendorRefused      the same request will be refused again
"""

__all__ = [
    "CoordinatorError",
    "JournalCorrupt",
    "JournalError",
    "JournalInUse",
    "JournalTooNew",
    "JournalUnavailable",
    "PayloadInvalid",
    "SenderError",
    "SettingsError",
    "VendorError",
    "VendorRefused",
    "VendorUnavailable",
]


class CoordinatorError(Exception):
    """The root of every error this package raises on purpose."""


class SettingsError(CoordinatorError):
    """A setting cannot be used; the message is one line that names it and the remedy."""


class SenderError(CoordinatorError):
    """What was sent cannot be used; sending the same again cannot help."""


class PayloadInvalid(SenderError):
    """A signed payload lacks a field we need; `field` is its dotted path ("issue.number")."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class JournalError(CoordinatorError):
    """The journal could not do what was asked."""


class JournalUnavailable(JournalError):
    """The journal cannot commit now; nothing of the request was stored."""


class JournalCorrupt(JournalError):
    """The journal file is damaged; it was neither changed nor removed."""


class JournalTooNew(JournalError):
    """The journal was written by a newer schema than this program knows."""


class JournalInUse(JournalError):
    """Another process has the journal open."""


class VendorError(CoordinatorError):
    """Somebody else's system failed us."""


class VendorUnavailable(VendorError):
    """Worth another try; `retry_after_s` is the vendor's own wish in seconds, None if it had none."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class VendorRefused(VendorError):
    """The same request would be refused again."""
