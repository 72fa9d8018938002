"""The ASGI application: requests in threads that keep their connection, streams sent as they come."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path
from django.utils.translation import get_language, gettext

from annotator.asgi import THREADS, Application

T = TypeVar("T")
seen: list[str] = []


def thread(request: HttpRequest) -> HttpResponse:
    return HttpResponse(threading.current_thread().name + " " + request.body.decode())


def broken(request: HttpRequest) -> HttpResponse:
    raise ValueError("a bug")


def language(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{get_language()} {gettext('Open')}")


def file(request: HttpRequest) -> StreamingHttpResponse:
    def blocks() -> Iterator[bytes]:
        try:
            for number in range(3):
                seen.append(threading.current_thread().name)
                yield b"block %d " % number
        finally:
            seen.append("closed")

    return StreamingHttpResponse(blocks())


async def news(request: HttpRequest) -> StreamingHttpResponse:
    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"news "
                await asyncio.sleep(0.01)
        finally:
            seen.append("closed")

    return StreamingHttpResponse(endless())


urlpatterns = [
    path(view.__name__, view)  # type: ignore[arg-type]
    for view in (thread, broken, language, file, news)
]


@pytest.fixture(autouse=True)
def addresses(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    settings.ALLOWED_HOSTS = ["testserver"]
    seen.clear()


@pytest.fixture(scope="module")
def application() -> Iterator[Application]:
    made = Application()
    yield made
    made._threads.shutdown()


async def ask(
    application: Application, address: str, body: list[bytes] = (), leave_after: float = 30, **headers: str
) -> tuple[int, list[bytes]]:
    """The status and the blocks of the answer; the client leaves after so many seconds."""
    parts = [{"type": "http.request", "body": part, "more_body": True} for part in body]
    parts.append({"type": "http.request", "body": b"", "more_body": False})
    sent: list[dict[str, Any]] = []

    def receive() -> Awaitable[dict[str, Any]]:
        return Coming()

    class Coming:
        """What servers give may be awaited, but need not be a coroutine."""

        def __await__(self) -> Any:
            return comes().__await__()

    async def comes() -> dict[str, Any]:
        if parts:
            return parts.pop(0)
        await asyncio.sleep(leave_after)
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {
        "type": "http", "method": "POST" if body else "GET", "path": address, "query_string": b"",
        "headers": [(b"host", b"testserver"), *named],
    }  # fmt: skip
    await application(scope, receive, send)
    return sent[0]["status"], [message["body"] for message in sent[1:] if message.get("body")]


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run it in a thread of its own: browser tests leave an event loop running in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


def asked(*arguments: Any, **named: Any) -> tuple[int, list[bytes]]:
    return run(ask(*arguments, **named))


def test_threads_are_used_again(application: Application) -> None:
    names = {asked(application, "/thread")[1][0].split()[0] for _ in range(3 * THREADS)}
    assert 1 <= len(names) <= THREADS
    assert all(name.startswith(b"request") for name in names)


def test_requests_run_side_by_side(application: Application) -> None:
    async def many() -> list[Any]:
        return await asyncio.gather(*(ask(application, "/thread") for _ in range(4 * THREADS)))

    assert [status for status, _ in run(many())] == [200] * 4 * THREADS


def test_a_body_may_come_in_parts(application: Application, settings: Any) -> None:
    settings.MIDDLEWARE = []
    status, [answer] = asked(Application(), "/thread", body=[b"one ", b"two"])
    assert (status, answer.split()[1:]) == (200, [b"one", b"two"])


def test_a_bug_is_an_answer_of_500(application: Application) -> None:
    assert asked(application, "/broken")[0] == 500
    assert asked(application, "/thread")[0] == 200


def test_the_language_is_the_requests_own(application: Application) -> None:
    told = [asked(application, "/language", accept_language=wanted)[1] for wanted in ("zh-hans", "en", "zh-hans")]
    assert told[0] == told[2] != told[1] == [b"en Open"]


def test_an_ordinary_stream_is_sent_block_by_block_from_threads(application: Application) -> None:
    assert asked(application, "/file") == (200, [b"block 0 ", b"block 1 ", b"block 2 "])
    assert seen[-1] == "closed"
    assert all(name.startswith("request") for name in seen[:-1])


def test_an_endless_stream_ends_when_the_client_leaves(application: Application) -> None:
    status, blocks = asked(application, "/news", leave_after=0.1)
    assert (status, set(blocks)) == (200, {b"news "})
    assert len(blocks) > 1
    assert seen == ["closed"]


def test_who_leaves_while_sending_is_not_answered(application: Application) -> None:
    sent: list[Any] = []

    async def left() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/thread", "query_string": b"", "headers": []}
    run(application(scope, left, send))
    assert sent == []
