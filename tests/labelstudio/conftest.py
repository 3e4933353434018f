from collections.abc import AsyncIterator

import pytest

from tests.labelstudio.virtual import VirtualClock


@pytest.fixture
async def clock() -> AsyncIterator[VirtualClock]:
    async with VirtualClock().running() as clock:
        yield clock
