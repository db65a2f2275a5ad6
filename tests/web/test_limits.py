"""The default limits keep the promises made elsewhere."""

from coordinator.runtime import task
from coordinator.web.limits import Limits
from coordinator.web.server import WebServer
from tests.web.serving import bare_app


def test_the_graceful_time_fits_into_the_supervisors() -> None:
    """A stop that takes its whole graceful time is over before the tree would force it."""
    spec = task(WebServer(bare_app(), host="127.0.0.1", port=0).serve, id="web")
    limits = Limits()
    assert limits.graceful_s + limits.linger_s < spec.shutdown_s


def test_ordinary_deliveries_always_have_room() -> None:
    """The shared buffer holds several of the largest bodies."""
    assert Limits().max_buffered_bytes >= 4 * Limits().max_body_bytes
