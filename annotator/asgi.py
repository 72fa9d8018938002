"""ASGI entry point: each request runs in one thread of a pool; only streams live on the event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import django
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.core.signals import request_started
from django.http.response import HttpResponseBase
from django.urls import set_script_prefix

THREADS = 8  # requests that one process works on at a time; each thread keeps a database connection


class Application(ASGIHandler):
    """Django, with the whole of a request in one thread.

    Django's own handler gives every request a new thread, and with it a new connection to the database, and changes
    between that thread and the event loop twice for each middleware: more work than most requests are.
    """

    def __init__(self) -> None:
        # Not ASGIHandler's, which would prepare the middleware for the event loop.
        self.load_middleware(is_async=False)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="request")

    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        response = await self._in_thread(self._respond, scope, body)
        try:
            if response.streaming:
                await self._stream(response, receive, send)
            else:
                await self.send_response(response, send)
        finally:
            if response.streaming:
                await self._in_thread(response.close)
            body.close()

    def _respond(self, scope: Any, body: Any) -> HttpResponseBase:
        """The response, whole unless it is a stream. Runs in a thread."""
        set_script_prefix(get_script_prefix(scope))
        request_started.send(sender=self.__class__, scope=scope)
        request, refusal = self.create_request(scope, body)
        response: Any = refusal if request is None else self.get_response(request)
        response._handler_class = self.__class__
        if not response.streaming:
            response.close()  # tells Django that the request has ended, in the thread that holds its connection
        return response

    async def _stream(self, response: HttpResponseBase, receive: Any, send: Any) -> None:
        """Send what comes until it ends or the client goes away; only a thread may wait for an ordinary iterator."""
        if not response.is_async:  # type: ignore[attr-defined]
            response.streaming_content = self._blocks(response.streaming_content)  # type: ignore[attr-defined]
        sending = asyncio.create_task(self.send_response(response, send))
        leaving = asyncio.ensure_future(receive())  # after the body nothing comes but the end of the connection
        await asyncio.wait([sending, leaving], return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        if not sending.done():
            sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending

    async def _blocks(self, content: Iterator[bytes]) -> AsyncIterator[bytes]:
        while (block := await self._in_thread(next, content, None)) is not None:
            yield block

    async def _in_thread(self, work: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)


os.environ.setdefault("DJANGO_SETTINGS_MODULE", "annotator.settings")
django.setup(set_prefix=False)
application = Application()
