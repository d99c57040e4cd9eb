"""asyncio: await tasks that run in other processes; a cancelled await kills its task."""
import asyncio
import os
import time

import prong


def work(seconds):
    time.sleep(seconds)
    return os.getpid()


async def main():
    with prong.Executor(3) as pool:
        pids = await asyncio.gather(*(pool.submit(work, 0.1) for _ in range(3)))
        print(f"{len(pids)} results from processes other than {os.getpid()}: {os.getpid() not in pids}")
        try:
            await asyncio.wait_for(pool.submit(work, 60), timeout=0.2)
        except asyncio.TimeoutError:
            print("the slow one was stopped")


begin = time.monotonic()
asyncio.run(main())
print(f"in less than 60 s: {time.monotonic() - begin < 60}")
