"""A page that is too long to hold is read in parts, an item that is too long is passed over."""

import pytest

from coordinator.actors.sweeper.pages import PageRead, in_parts
from coordinator.errors import ForgeTooLong
from coordinator.rules.sweeping import Part


class List:
    """Items by their lengths, read a part at a time by somebody who holds 10 at once."""

    def __init__(self, *lengths: int) -> None:
        self.lengths = lengths
        self.read: list[int] = []

    async def __call__(self, part: Part) -> bool:
        first = (part.page - 1) * part.size
        numbers = range(len(self.lengths))[first : first + part.size]
        if sum(self.lengths[number] for number in numbers) > 10:
            raise ForgeTooLong("too long")
        self.read += numbers
        return not numbers


@pytest.mark.parametrize(
    ("lengths", "read", "too_long"),
    [
        ((1,) * 10, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 0),
        ((4,) * 10, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 0),
        ((1, 99, 1, 1, 1, 1, 1, 1, 99, 1), [0, 2, 3, 4, 5, 6, 7, 9], 2),
    ],
)
async def test_every_item_that_can_be_read_is_read_once(
    lengths: tuple[int, ...], read: list[int], too_long: int
) -> None:
    """In the order of the list, whatever lies between them."""
    listed = List(*lengths)
    assert await in_parts(Part(1, 10), listed) == PageRead(False, too_long)
    assert listed.read == read


async def test_the_end_of_a_list_ends_its_parts() -> None:
    """Behind the part with which the list ends nothing is asked for."""
    listed = List(99, 1, 1)
    assert await in_parts(Part(1, 50), listed) == PageRead(True, 1)
    assert listed.read == [1, 2]
