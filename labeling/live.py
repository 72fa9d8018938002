"""Live: news about a project, from workers and web processes to the pages that show it."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from functools import cache
from typing import Any

import redis
import redis.asyncio
from django.conf import settings

logger = logging.getLogger(__name__)
KEEP_ALIVE_SECONDS = 15.0


def publish(project_id: int, event: str, data: dict[str, Any]) -> None:
    """Tell every page that watches the project. News is never the only copy: where Redis is away it is dropped."""
    try:
        _client().publish(_channel(project_id), json.dumps({"event": event, "data": data}))
    except (redis.RedisError, OSError) as error:
        logger.debug("news of project %s was dropped: %s", project_id, error)


async def stream(project_id: int) -> AsyncIterator[str]:
    """Server-sent events of one project, as text, with a comment every 15 s so that dead connections are noticed."""
    client = redis.asyncio.Redis.from_url(settings.ANNOTATOR_REDIS_URL)
    try:
        async with client.pubsub() as channel:
            await channel.subscribe(_channel(project_id))
            yield "retry: 2000\n\n: connected\n\n"
            while True:
                message = await channel.get_message(ignore_subscribe_messages=True, timeout=KEEP_ALIVE_SECONDS)
                yield _event(message["data"]) if message else ": still here\n\n"
    except (redis.RedisError, OSError):
        # The page falls back to polling and tries again.
        yield "event: away\ndata: {}\n\n"
    finally:
        await client.aclose()


def _event(payload: bytes) -> str:
    news = json.loads(payload)
    return f"event: {news['event']}\ndata: {json.dumps(news['data'])}\n\n"


def _channel(project_id: int) -> str:
    return f"annotator:project:{project_id}"


@cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(settings.ANNOTATOR_REDIS_URL, socket_connect_timeout=0.3, socket_timeout=0.5)
