"""The tasks of steering: one that is cancelled before it began leaves nothing behind."""

import asyncio
import gc
import warnings

from pbxbill.ami.steering import Steering


def test_a_task_that_is_cancelled_before_it_began_is_not_left_unawaited() -> None:
    async def never_begun() -> None:
        raise AssertionError("it was cancelled")

    async def spawn_and_cancel() -> None:
        steering = Steering.__new__(Steering)
        steering._tasks = set()
        steering._spawn(never_begun())
        (task,) = steering._tasks
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asyncio.run(spawn_and_cancel())
        gc.collect()
    assert [str(warning.message) for warning in caught] == []
