"""A forge of one's own for a test, and the bot's way to it."""

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.fakes.forge import Forge, Product, VirtualClock, furnish, open_forge, rest_client


@pytest.fixture
def product() -> Product:
    return "gitea"


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def forge(product: Product, clock: VirtualClock) -> AsyncIterator[Forge]:
    async with open_forge(product, clock=clock) as forge:
        yield forge


@pytest.fixture
async def http(forge: Forge) -> AsyncIterator[httpx.AsyncClient]:
    """The bot, who may everything."""
    async with rest_client(forge, furnish(forge)) as http:
        yield http
