from __future__ import annotations

import asyncio

import pytest

from lookalike.api.gate import Gate
from lookalike.errors import Busy


def test_so_many_work_so_many_wait_and_the_rest_is_refused():
    async def scenario():
        gate, release, working = Gate(2, 1), asyncio.Event(), []

        async def request(number):
            async with gate.admit() as place, place.work():
                working.append(number)
                await release.wait()

        tasks = [asyncio.create_task(request(number)) for number in range(3)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert working == [0, 1]
        with pytest.raises(Busy):
            async with gate.admit():
                pass
        release.set()
        await asyncio.gather(*tasks)
        assert working == [0, 1, 2]
        async with gate.admit():
            pass

    asyncio.run(scenario())


async def hold(gate, *sizes):
    async with gate.admit() as place:
        for size in sizes:
            place.hold(size)


def test_bodies_share_a_budget_that_comes_back_even_after_a_failure():
    async def scenario():
        gate = Gate(2, 2, budget_bytes=100)
        async with gate.admit() as first:
            first.hold(60)
            with pytest.raises(Busy):
                await hold(gate, 30, 20)
            await hold(gate, 40)
        await hold(gate, 100)

    asyncio.run(scenario())
