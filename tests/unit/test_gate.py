from __future__ import annotations

import asyncio
import threading

import pytest

from lookalike.api.gate import Gate
from lookalike.errors import Busy


def test_so_many_work_so_many_wait_and_the_rest_is_refused():
    async def scenario():
        gate, release, working = Gate(2, 1), threading.Event(), []

        def work(number):
            working.append(number)
            release.wait()
            return number

        async def request(number):
            async with gate.admit() as place:
                return await place.run(work, number)

        tasks = [asyncio.create_task(request(number)) for number in range(3)]
        while len(working) < 2:
            await asyncio.sleep(0.01)
        with pytest.raises(Busy):
            await hold(gate)
        assert sorted(working) == [0, 1]  # side by side, so that either may be first
        release.set()
        assert await asyncio.gather(*tasks) == [0, 1, 2]
        await hold(gate)

    asyncio.run(scenario())


def test_one_slot_may_work_in_the_event_loops_own_thread():
    async def scenario(inline):
        async with Gate(1, 0, inline=inline).admit() as place:
            return await place.run(threading.get_ident) == threading.get_ident()

    assert asyncio.run(scenario(True))
    assert not asyncio.run(scenario(False))


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
