"""What a step of a run's life gives back."""

import pytest

from coordinator.rules.context import ContextAction
from coordinator.rules.orders import CancelRun, CompactContext, Order, RotateSession
from coordinator.rules.run_inputs import Step
from coordinator.rules.run_state import begin
from tests.rules.runs import AGENT, EPOCH, RUN, START


@pytest.mark.parametrize(
    ("orders", "action"),
    [
        ((), ContextAction.CONTINUE),
        ((CancelRun(RUN, AGENT, "x"),), ContextAction.CONTINUE),
        ((CompactContext(RUN, AGENT, 1, 1),), ContextAction.COMPACT),
        ((RotateSession(RUN, AGENT, 1, 2, "x", "y"),), ContextAction.ROTATE),
    ],
)
def test_a_step_names_its_action(orders: tuple[Order, ...], action: ContextAction) -> None:
    """The word an agent that reports is answered with follows from the order opened."""
    assert Step(begin(START, EPOCH), orders=orders).action is action
