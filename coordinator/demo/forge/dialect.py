"""In what Gitea and Forgejo differ, as data: everything else of the forge is the same for both.

Read in the sources of Gitea 1.26 and 1.27 and of Forgejo 15 to 17; where a trait names a change, the
number is that of go-gitea/gitea.
"""

from dataclasses import dataclass
from typing import Literal

__all__ = ["DIALECTS", "FORGEJO", "GITEA", "GITEA_1_26", "Dialect", "Product"]

Product = Literal["gitea", "forgejo"]


@dataclass(frozen=True, slots=True)
class Dialect:
    """One product at one version."""

    product: Product
    version: str
    # POST and DELETE …/issues/{n}/assignees
    has_assignees_api: bool
    # People assigned at an issue's creation are announced before it is (until #37330).
    assigned_before_opened: bool
    # Each of several `assigned` shows the set as it grew, not the final one.
    shows_growing_assignees: bool
    # DELETE …/labels/{id} takes a name too.
    deletes_labels_by_name: bool
    # A deleted issue is announced (#34592).
    tells_deletion: bool
    # JSON is safe inside HTML: < > & are written as \u003c … (until #35392).
    escapes_html: bool
    # The issue list takes `sort`.
    has_sort: bool
    # …/dependencies answers X-Total-Count and Link (#36521).
    counts_dependencies: bool
    # An issue has the field `projects`.
    has_projects: bool
    # The test delivery is only sent to hooks that subscribed to pushes (mended by #38455).
    tests_only_push: bool
    # PUT and DELETE …/issues/{n}/lock (since 1.24, #34165); people lock in the browser anywhere.
    has_lock_api: bool
    # Where ALLOWED_HOST_LIST stands in the settings.
    allow_list_key: str
    # Shared and reserved networks count as external (until 1.26.3, #38039).
    reserved_is_external: bool


GITEA = Dialect(
    product="gitea",
    version="1.27.0",
    has_assignees_api=True,
    assigned_before_opened=False,
    shows_growing_assignees=False,
    deletes_labels_by_name=False,
    tells_deletion=True,
    escapes_html=False,
    has_sort=False,
    counts_dependencies=True,
    has_projects=True,
    tests_only_push=True,
    has_lock_api=True,
    allow_list_key="security.ALLOWED_HOST_LIST",
    reserved_is_external=False,
)
GITEA_1_26 = Dialect(
    product="gitea",
    version="1.26.0",
    has_assignees_api=False,
    assigned_before_opened=True,
    shows_growing_assignees=True,
    deletes_labels_by_name=False,
    tells_deletion=True,
    escapes_html=False,
    has_sort=False,
    counts_dependencies=True,
    has_projects=False,
    tests_only_push=True,
    has_lock_api=True,
    allow_list_key="webhook.ALLOWED_HOST_LIST",
    reserved_is_external=True,
)
FORGEJO = Dialect(
    product="forgejo",
    version="15.0.3+gitea-1.22.0",
    has_assignees_api=False,
    assigned_before_opened=True,
    shows_growing_assignees=True,
    deletes_labels_by_name=True,
    tells_deletion=False,
    escapes_html=True,
    has_sort=True,
    counts_dependencies=False,
    has_projects=False,
    tests_only_push=False,
    has_lock_api=False,
    allow_list_key="webhook.ALLOWED_HOST_LIST",
    reserved_is_external=True,
)
DIALECTS: dict[Product, Dialect] = {"gitea": GITEA, "forgejo": FORGEJO}
