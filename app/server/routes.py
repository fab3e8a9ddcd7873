"""Which of the server's addresses are open; all others that Gradio has answer as if they were not there."""

import re
from collections.abc import Mapping
from typing import Any

API = "/gradio_api"
HEALTH = "/healthz"

_NAME = "[^/]+"
_LOOKING = {
    "/",
    "/config/?",
    "/favicon.ico",
    "/manifest.json",
    "/robots.txt",
    "/theme.css",
    "/(static|assets)/.+",
    HEALTH,
    f"{API}/(info|app_id)/?",
    f"{API}/(openapi.json|theme.css|startup-events|upload_progress)",
    f"{API}/queue/(data|status)",
    f"{API}/heartbeat/{_NAME}",
    f"{API}/call/(v2/)?{_NAME}/{_NAME}",
    # An address here instead of a path, and Gradio would fetch it for whoever asks.
    rf"{API}/file=(?!\s*[A-Za-z][A-Za-z0-9+.-]*:/).+",
}
_ASKING = {
    f"{API}/(upload|cancel|queue/join)",
    f"{API}/reset/?",
    f"{API}/(run|api)/{_NAME}/?",
    f"{API}/call/(v2/)?{_NAME}/?",
}
_TOOLS = f"{API}/mcp(/.*)?"
"""Gradio's server for language models' tools, where it was asked for; without it, nothing is there."""


def _any_of(patterns: set[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in sorted(patterns)))


_OPEN = {
    "GET": _any_of(_LOOKING | {_TOOLS}),
    "HEAD": _any_of(_LOOKING),
    "POST": _any_of(_ASKING | {_TOOLS}),
    "DELETE": _any_of({_TOOLS}),
    # A browser asks so before it asks from another origin; Gradio's own answer says which may.
    "OPTIONS": _any_of(_LOOKING | _ASKING | {_TOOLS}),
}
"""By method. What is not here was not needed by the page or the API when this was written: recordings that
go through ffmpeg, other hosts' files, a prompt that edits the program, statistics, deep links, sign-in."""

UPLOAD = f"{API}/upload"
COMPRESSED = re.compile(f"/|/config/?|{API}/info/?|{API}/openapi.json")
"""Large answers that Gradio sends as they are: it compresses by a file's suffix, which these do not have."""
DIRECT = re.compile(f"{API}/(run|api)/{_NAME}/?")
"""Calls that are answered in their own response, without the queue."""
VISITORS_FILE = re.compile(f"{API}/file=.*")


def path_of(scope: Mapping[str, Any]) -> str:
    """The path that was asked for, as the routes have it: without what a proxy has before it."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    if root and (path == root or path.startswith(root + "/")):
        return path.removeprefix(root) or "/"
    return path


def is_open(method: str, path: str) -> bool:
    """Whether a stranger may ask for that."""
    pattern = _OPEN.get(method)
    return pattern is not None and pattern.fullmatch(path) is not None
