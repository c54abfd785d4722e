"""Waiting in the event loop for what the engine's thread answers."""

import asyncio
from concurrent.futures import Future

from pbxbill.charging.events import Outcome


async def outcome_within(future: "Future[Outcome]", timeout_s: float) -> Outcome:
    """The outcome; TimeoutError when it takes longer. The command goes on in either case."""
    waiting = asyncio.wrap_future(future)
    # An outcome that comes after the time-out is nobody's business here, and must not be reported as lost.
    waiting.add_done_callback(lambda late: None if late.cancelled() else late.exception())
    async with asyncio.timeout(timeout_s):
        return await asyncio.shield(waiting)
