"""Tests of the addresses that people give and that we show."""

import pytest

from coordinator.edges.web_address import shown_address, web_address
from coordinator.errors import SettingsError


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("https://forge.example.org", "https://forge.example.org"),
        ("http://[::1]:3000/git//", "http://[::1]:3000/git"),
    ],
)
def test_an_address_is_used_without_its_last_slashes(given: str, used: str) -> None:
    """What can be used comes back ready for a path to be put behind it."""
    assert web_address("GITEA_URL", given) == used


@pytest.mark.parametrize(
    "given",
    [
        "forge.example.org",
        "ftp://forge.example.org",
        "https://",
        "http://[half",
        "http://forge:99999",
        "http://forge:0",
        "http://forge:x",
        "https://forge#x",
        "https://forge x",
    ],
)
def test_what_is_no_address_is_told_with_what_was_expected(given: str) -> None:
    """The one line has the setting, the value seen and the value expected."""
    with pytest.raises(SettingsError) as caught:
        web_address("--url", given)
    assert str(caught.value).startswith(f"--url is {given!r}, expected http(s)://host[:port][/path]")


@pytest.mark.parametrize(
    "given",
    [
        "https://me:hunter2@forge.example.org",
        "https://forge.example.org/?token=hunter2",
        "me:hunter2@forge",
    ],
)
def test_credentials_in_an_address_are_not_printed(given: str) -> None:
    """A user, a password or a query is refused and not quoted, whatever else is wrong."""
    with pytest.raises(SettingsError, match="GITEA_URL holds a user") as caught:
        web_address("GITEA_URL", given)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:p@a.example:8443/x?token=1#y", "https://a.example:8443/x"),
        ("/user/login?redirect_to=x", "/user/login"),
        ("http://[::1", "an address that cannot be read"),
    ],
)
def test_an_address_is_shown_without_secrets(url: str, shown: str) -> None:
    """User, password, query and fragment may be somebody's secret; they are left out."""
    assert shown_address(url) == shown
