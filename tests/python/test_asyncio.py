"""Executor in asyncio: awaited, gathered, cancelled."""

import asyncio
import os
import time

import prong
import pytest

from test_life import gone


def note_pid(path):
    with open(path + ".new", "w") as f:
        f.write(str(os.getpid()))
    os.rename(path + ".new", path)
    time.sleep(300)


async def pid_in(path):
    end = time.monotonic() + 100
    while not os.path.exists(path):
        assert time.monotonic() < end
        await asyncio.sleep(0.01)
    with open(path) as f:
        return int(f.read())


def test_await_and_gather():
    async def main():
        with prong.Executor(2) as ex:
            assert await ex.submit(pow, 2, 5) == 32
            assert await asyncio.gather(*(ex.submit(pow, i, 2) for i in range(20))) == [i * i for i in range(20)]
            loop = asyncio.get_running_loop()
            assert await loop.run_in_executor(ex, lambda: 7) == 7
            with pytest.raises(ZeroDivisionError):
                await ex.submit(divmod, 1, 0)
            with pytest.raises(prong.TaskDied):
                await ex.submit(os._exit, 3)

    asyncio.run(main())


@pytest.mark.parametrize("how", ["cancel", "timeout", "wrapped"])
def test_cancelling_the_await_kills_the_task(how, tmp_path):
    path = str(tmp_path / "pid")

    async def main():
        with prong.Executor(2) as ex:
            future = ex.submit(note_pid, path)
            pid = await pid_in(path)  # it runs: only then does the time limit begin
            waiting = asyncio.wrap_future(future) if how == "wrapped" else asyncio.ensure_future(wait_for(future))
            await asyncio.sleep(0.05)  # one cancelled before its first step would await nothing
            if how != "timeout":
                waiting.cancel()
            with pytest.raises((asyncio.CancelledError, TimeoutError)):
                await waiting
            await asyncio.to_thread(gone, [pid])
            assert future.cancelled()
            assert await ex.submit(abs, -1) == 1

    async def wait_for(future):
        return await asyncio.wait_for(future_of(future), 0.5 if how == "timeout" else None)

    async def future_of(future):
        return await future

    asyncio.run(main())


def test_the_loop_goes_on_meanwhile():
    async def main():
        ticks = 0
        with prong.Executor(1) as ex:
            f = asyncio.wrap_future(ex.submit(time.sleep, 0.5))
            while not f.done():
                await asyncio.sleep(0.01)
                ticks += 1
        return ticks

    assert asyncio.run(main()) >= 3


def test_async_functions_are_refused():
    async def f(x):
        return x

    with pytest.raises(TypeError, match="asyncio.run"):
        prong.map(f, [1])
