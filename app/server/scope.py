"""What one part of the server notes of a request for another, in its scope."""

from collections.abc import MutableMapping
from typing import Any

ARRIVED = "comdefend.arrived"
"""When it came, by :func:`time.monotonic`."""
BEGAN = "comdefend.began"
"""When its handler was called for the first time: one that streams is called for each thing that it tells."""
WAITED = "comdefend.waited"
"""How many seconds its work waited for its turn, of those since."""
REFUSED = "comdefend.refused"
"""Whether a handler said no: Gradio answers 500 to that, as to any error."""
LEAVING = "comdefend.leaving"
"""A :class:`app.server.leaving.Leaving`, where the connection is open as long as somebody waits."""


def scope_of(request: Any) -> MutableMapping[str, Any]:
    """The scope of the server's request in one of Gradio's; a new one where there is none.

    A call that says it is a batch has a list of requests: all of them are its own.
    """
    if isinstance(request, list | tuple) and request:
        request = request[0]
    scope = getattr(getattr(request, "request", None), "scope", None)
    return scope if isinstance(scope, MutableMapping) else {}
