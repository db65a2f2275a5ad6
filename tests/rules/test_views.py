"""What faces may show holds no body and no secret by construction."""

import dataclasses

from coordinator.rules import views
from tests.rules.builders import given, view


def test_no_view_has_a_field_for_a_body_or_a_handoff() -> None:
    """A field that could carry untrusted long text cannot be added unnoticed."""
    kinds = [getattr(views, name) for name in views.__all__]
    names = {field.name for kind in kinds for field in dataclasses.fields(kind)}
    assert names.isdisjoint({"body", "text", "text_key", "handoff", "facts", "secret", "token"})


def test_the_newest_command_is_known_by_its_comment() -> None:
    """0 where nobody has told us anything."""
    assert view().newest_command_id == 0
    assert view(last_command=given(1, 7, "explain")).newest_command_id == 7
