"""Settings of the page, from the command line and the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Settings:
    """Where the page is served, and on what it computes. None leaves Gradio's own default."""

    host: str | None = None
    port: int | None = None
    device: str = "auto"
    share: bool = False

    @classmethod
    def collect(
        cls,
        host: str | None,
        port: int | None,
        device: str,
        share: bool,
        environment: Mapping[str, str] = os.environ,
    ) -> Self:
        """The command line's values; where it is silent, ``GRADIO_SERVER_NAME`` and ``_PORT``."""
        if port is None and (text := environment.get("GRADIO_SERVER_PORT")):
            if not text.isdigit():
                raise ValueError(f"GRADIO_SERVER_PORT must be a number, got {text!r}")
            port = int(text)
        return cls(host or environment.get("GRADIO_SERVER_NAME"), port, device, share)
