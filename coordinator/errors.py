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
    ├─ VendorRefused      the same request will be refused again
    └─ ForgeError         the forge's; each is also one of the two above
        ├─ ForgeUnavailable (VendorUnavailable)  network, timeout, 5xx, not an answer
        │   ├─ ForgeRateLimited                  429
        │   ├─ ForgeTooLong                      more than we hold: ask for less
        │   └─ ForgeNotAsked                     circuit open, no connection free: nothing was sent
        └─ ForgeRefused (VendorRefused)          any other status from 300 on
            ├─ ForgeUnauthorized                 401: the token
            ├─ ForgeForbidden                    403: `missing_scope`, or a right the account lacks
            ├─ ForgeNotFound                     404, or `moved_to` another place
            ├─ ForgeConflict                     409: somebody was faster
            ├─ ForgeBlocked                      412: open dependencies forbid the close
            ├─ ForgeArchived                     423: the repository is read-only
            └─ ForgeInvalid                      400, 422: what was sent is wrong
"""

__all__ = [
    "CoordinatorError",
    "ForgeArchived",
    "ForgeBlocked",
    "ForgeConflict",
    "ForgeError",
    "ForgeForbidden",
    "ForgeInvalid",
    "ForgeNotAsked",
    "ForgeNotFound",
    "ForgeRateLimited",
    "ForgeRefused",
    "ForgeTooLong",
    "ForgeUnauthorized",
    "ForgeUnavailable",
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


class ForgeError(VendorError):
    """The forge failed us; `status` is the HTTP status, None if none came; `remedy` is "" if none."""

    status: int | None = None
    remedy: str = ""


class ForgeUnavailable(ForgeError, VendorUnavailable):
    """The forge gave no usable answer. What was to be written may have been written all the same."""

    def __init__(
        self,
        message: str,
        retry_after_s: float | None = None,
        *,
        status: int | None = None,
        remedy: str = "",
    ) -> None:
        super().__init__(message, retry_after_s)
        self.status = status
        self.remedy = remedy


class ForgeTooLong(ForgeUnavailable):
    """The answer is longer than we are ready to hold; the forge is well, and may be asked for less."""


class ForgeRateLimited(ForgeUnavailable):
    """Too many requests by the forge's count, or by that of a proxy before it; nothing was done."""


class ForgeNotAsked(ForgeUnavailable):
    """Nothing was sent, so nothing was done, and nobody named in the request is to blame."""


class ForgeRefused(ForgeError, VendorRefused):
    """The forge understood and said no; nothing was done."""

    def __init__(self, message: str, *, status: int | None = None, remedy: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.remedy = remedy


class ForgeUnauthorized(ForgeRefused):
    """The token is unknown, expired or missing."""


class ForgeForbidden(ForgeRefused):
    """`missing_scope` is what the token lacks ("write:issue"); None: the account lacks the right."""

    def __init__(
        self,
        message: str,
        *,
        missing_scope: str | None = None,
        status: int | None = 403,
        remedy: str = "",
    ) -> None:
        super().__init__(message, status=status, remedy=remedy)
        self.missing_scope = missing_scope


class ForgeNotFound(ForgeRefused):
    """It is not there, or this account may not see it: forges do not tell which.

    `moved_to` is the address the forge points to instead, where it does.
    """

    def __init__(
        self, message: str, *, moved_to: str | None = None, status: int | None = 404, remedy: str = ""
    ) -> None:
        super().__init__(message, status=status, remedy=remedy)
        self.moved_to = moved_to


class ForgeConflict(ForgeRefused):
    """It has changed, or is there already."""


class ForgeBlocked(ForgeRefused):
    """The issue cannot be closed while its dependencies are open."""


class ForgeArchived(ForgeRefused):
    """The repository is archived: it can be read, not written."""


class ForgeInvalid(ForgeRefused):
    """What was sent is not what the forge expects."""
