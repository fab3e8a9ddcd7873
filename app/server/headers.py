"""Headers of every answer: what a browser may do with it."""

from app.server import routes

FRAMED_BY = "'self' https://huggingface.co https://*.hf.space"
"""Who may show the page in a frame: a Space is shown in one by the Hub."""
PAGE_POLICY = "; ".join(
    (
        "default-src 'self'",
        # Gradio writes its configuration into the page, and makes functions of the events' scripts.
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "worker-src 'self' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        f"frame-ancestors {FRAMED_BY}",
    )
)
FILE_POLICY = f"default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors {FRAMED_BY}"
"""Of a visitor's file: whatever it is, opened by itself it does nothing."""
ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"strict-origin-when-cross-origin"),
    (b"permissions-policy", b"camera=(self), microphone=(), geolocation=(), payment=(), usb=()"),
)


def headers_for(path: str) -> tuple[tuple[bytes, bytes], ...]:
    """The headers of an answer to a path, in ASGI's form."""
    policy = FILE_POLICY if routes.VISITORS_FILE.fullmatch(path) else PAGE_POLICY
    return (*ALWAYS, (b"content-security-policy", policy.encode("ascii")))
