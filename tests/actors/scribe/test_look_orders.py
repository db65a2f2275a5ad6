"""An order to look is closed by the look it led to, and by no earlier one."""

from coordinator.actors.scribe.look_orders import LookOrders
from tests.rules.builders import ref


def test_a_look_answers_the_orders_that_were_heeded_before_it_began() -> None:
    """Each is heeded once and closed once; what comes meanwhile, or is of another issue, stays."""
    orders = LookOrders()
    news = [orders.heed(*each) for each in ((1, ref(1)), (2, ref(2)), (1, ref(1)))]
    assert news == [True, True, False]
    begun = orders.of(ref(1))
    orders.heed(3, ref(1))
    assert (orders.close(begun), orders.close(begun)) == ([1], [])
    assert (orders.of(ref(1)), orders.of(ref(2))) == ((3,), (2,))
