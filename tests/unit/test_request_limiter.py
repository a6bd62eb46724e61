from __future__ import annotations

import asyncio
import threading

import pytest

from lookalike.api.http.request_limiter import RequestLimiter
from lookalike.errors import Busy


def test_requests_run_wait_or_are_refused():
    async def scenario():
        limiter, release, working = RequestLimiter(2, 1), threading.Event(), []

        def work(number):
            working.append(number)
            release.wait()
            return number

        async def request(number):
            async with limiter.slot() as slot:
                return await slot.run(work, number)

        tasks = [asyncio.create_task(request(number)) for number in range(3)]
        while len(working) < 2:
            await asyncio.sleep(0.01)
        with pytest.raises(Busy):
            await reserve(limiter)
        assert sorted(working) == [0, 1]  # in parallel, so either may be first
        release.set()
        assert await asyncio.gather(*tasks) == [0, 1, 2]
        await reserve(limiter)

    asyncio.run(scenario())


def test_a_single_slot_may_run_in_the_event_loops_thread():
    async def scenario(inline):
        async with RequestLimiter(1, 0, inline=inline).slot() as slot:
            return await slot.run(threading.get_ident) == threading.get_ident()

    assert asyncio.run(scenario(True))
    assert not asyncio.run(scenario(False))


async def reserve(limiter, *sizes):
    async with limiter.slot() as slot:
        for size in sizes:
            slot.reserve_bytes(size)


def test_bodies_share_a_budget_that_is_released_after_a_failure():
    async def scenario():
        limiter = RequestLimiter(2, 2, budget_bytes=100)
        async with limiter.slot() as first:
            first.reserve_bytes(60)
            with pytest.raises(Busy):
                await reserve(limiter, 30, 20)
            await reserve(limiter, 40)
        await reserve(limiter, 100)

    asyncio.run(scenario())
