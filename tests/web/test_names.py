"""A repository is found by every name it ever had."""

from pathlib import Path

from coordinator.web.names import repository_called
from tests.web.standins import running


async def test_a_repository_is_found_by_its_names(tmp_path: Path) -> None:
    """In any case; a name that nobody has is nobody's."""
    async with running(tmp_path) as app:
        found = await repository_called(app.context, "Acme/Gadgets")
        assert found is not None
        assert found.canonical == "acme/widgets"
        assert await repository_called(app.context, "acme/other") is None


async def test_a_router_that_is_down_knows_no_names(tmp_path: Path) -> None:
    """Then the name as it was given must do, and nobody is refused for that."""
    async with running(tmp_path) as app:
        await app.tree.terminate_child("root", "router")
        assert await repository_called(app.context, "acme/gadgets") is None
        assert (await app.client.get("/api/v1/issues/acme/widgets/17")).status_code == 200
