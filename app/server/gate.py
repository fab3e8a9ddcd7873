"""What every request to the server passes, and every answer: closed routes, limits, headers, sentences."""

import asyncio
import json
import logging
import time
import traceback
from collections.abc import Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.server import routes
from app.server.headers import headers_for
from app.server.leaving import Leaving
from app.server.scope import ARRIVED, LEAVING, REFUSED

NOT_HERE = "There is nothing here. What can be called is at /gradio_api/info."
UNREADABLE = "This call cannot be read. What can be called, and how, is at /gradio_api/info."
TOO_LARGE = "This is too large to send: the limit is {:.1f} MB."
FAILED = "Something went wrong on our side; the log has the details."
BAD_CALL = (LookupError, TypeError, ValueError, RecursionError, AttributeError)
"""What Gradio's routes run into where a call is not as they expect it."""
log = logging.getLogger(__name__)


class Gate:
    """ASGI middleware around all of Gradio's routes.

    Args:
        app: what answers.
        max_body: the most bytes of a request's body, by its path.
        health: what is answered to who asks how the server is.
        bad_calls: what else the app raises where a call is not as it expects it.
    """

    def __init__(
        self,
        app: ASGIApp,
        max_body: Callable[[str], int],
        health: Callable[[], dict[str, Any]],
        bad_calls: tuple[type[Exception], ...] = (),
    ) -> None:
        self._app = app
        self._compressed = GZipMiddleware(app, compresslevel=5)
        self._max_body = max_body
        self._health = health
        self._bad_calls = (HTTPException, *BAD_CALL, *bad_calls)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # nothing here speaks it
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = routes.path_of(scope)
        answer = _Answer(send, scope, path)
        if not routes.is_open(scope["method"], path):
            await answer.say(404, NOT_HERE)
            return
        if path == routes.HEALTH:
            health = self._health()
            await answer.json(200 if health["status"] == "ok" else 503, health)
            return
        if path == "/" and scope["method"] == "HEAD":  # who asks so wants to know whether somebody is there
            await answer.nothing()
            return
        scope[ARRIVED] = time.monotonic()
        app = self._compressed if routes.COMPRESSED.fullmatch(path) else self._app
        leaving = Leaving() if routes.DIRECT.fullmatch(path) else None
        scope[LEAVING] = leaving
        body = _Body(receive, self._max_body(path), answer, leaving)
        if _announced(scope) > body.limit:
            await answer.say(413, TOO_LARGE.format(body.limit / 1024**2))
            return
        try:
            await app(scope, body.receive, answer.send)
        except Exception as error:  # noqa: BLE001 - a stranger's call may come to anything in Gradio's routes
            if not body.is_over:
                await self._explain(error, scope, answer)
        finally:
            body.close()

    async def _explain(self, error: Exception, scope: Scope, answer: "_Answer") -> None:
        """Answer for a route that failed. A line in the log, or all of it if the fault is ours."""
        if isinstance(error, ClientDisconnect | ConnectionError):
            return
        # Of a stream that has begun, only the cause tells what it was.
        bad = next((each for each in (error, error.__cause__) if isinstance(each, self._bad_calls)), None)
        where = traceback.extract_tb(error.__traceback__)[-1]
        what = (
            f"{scope['method']} {routes.path_of(scope)[:80]!r}: {type(bad or error).__name__} at {where.name}"
        )
        if bad is not None:
            log.info("a call failed: %s", what)
            status, sentence = getattr(bad, "status_code", 400), UNREADABLE
        else:
            log.error("a route failed: %s", what, exc_info=error)
            status, sentence = 500, FAILED
        if answer.begun:  # a stream of events that was told of it already; only its end is missing
            await answer.send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            await answer.say(status, sentence)


class _Answer:
    """What is sent back: with our headers, and a sentence where there is no other answer."""

    def __init__(self, send: Send, scope: Scope, path: str) -> None:
        self._send = send
        self._scope = scope
        self._path = path
        self.begun = False
        self.refused = False

    async def send(self, message: Message) -> None:
        if self.refused:  # what comes late, from a route that did not notice
            return
        if message["type"] == "http.response.start":
            self.begun = True
            if message["status"] == 500 and self._scope.get(REFUSED):
                message = {**message, "status": 422}
            given = {name.lower() for name, _ in message.get("headers", ())}
            ours = [pair for pair in headers_for(self._path) if pair[0] not in given]
            message = {**message, "headers": [*message.get("headers", ()), *ours]}
        await self._send(message)

    async def say(self, status: int, sentence: str) -> None:
        """One sentence, as Gradio's clients expect one: under ``detail``, and under ``error``."""
        await self.json(status, {"detail": sentence, "error": sentence})
        self.refused = True

    async def nothing(self) -> None:
        """The headers of a page, without making it."""
        headers = [(b"content-type", b"text/html; charset=utf-8")]
        await self.send({"type": "http.response.start", "status": 200, "headers": headers})
        await self.send({"type": "http.response.body", "body": b""})

    async def json(self, status: int, value: dict[str, Any]) -> None:
        """JSON of our own."""
        body = json.dumps(value).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})


class _Body:
    """A request's body, of which no more than so many bytes are read; behind it, whether the client stays."""

    def __init__(self, receive: Receive, limit: int, answer: _Answer, leaving: Leaving | None) -> None:
        self._receive = receive
        self._answer = answer
        self._leaving = leaving
        self._listening: asyncio.Task[None] | None = None
        self._read = 0
        self.limit = limit
        self.is_over = False

    async def receive(self) -> Message:
        if self.is_over:
            return {"type": "http.disconnect"}
        if self._listening is not None:
            await asyncio.shield(self._listening)
            return {"type": "http.disconnect"}
        message = await self._receive()
        self._read += len(message.get("body", b""))
        if self._read > self.limit:
            self.is_over = True
            if not self._answer.begun:
                await self._answer.say(413, TOO_LARGE.format(self.limit / 1024**2))
            return {"type": "http.disconnect"}
        if self._leaving is not None and not message.get("more_body"):
            self._listening = asyncio.create_task(self._listen(self._leaving))
        return message

    async def _listen(self, leaving: Leaving) -> None:
        """Wait for what comes after the body, which is that the client leaves."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        leaving.leave()

    def close(self) -> None:
        """There is an answer: whoever leaves now has got it."""
        if self._listening is not None:
            self._listening.cancel()


def _announced(scope: Scope) -> int:
    """How long a body will be, as far as the client says so."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value[:20])
    return 0


async def unreadable(_: Request, error: Exception) -> JSONResponse:
    """FastAPI's refusal of a body, in a sentence instead of its own list, which repeats what was sent."""
    problems: list[dict[str, Any]] = getattr(error, "errors", list)()
    first: dict[str, Any] = problems[0] if problems else {}
    where = ".".join(str(part)[:40] for part in first.get("loc", ()))
    reason = f" ({where}: {first.get('msg', '')[:100]})" if where else ""
    sentence = UNREADABLE.removesuffix(".") + reason + "."
    return JSONResponse({"detail": sentence, "error": sentence}, status_code=422)
