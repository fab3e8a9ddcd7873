"""Where published reports go: ``--evaluate --publish`` writes there, and the page reads."""

from pathlib import Path

from model.evaluate import Places

APP = Path(__file__).resolve().parent
PUBLISHED = Places(
    reports=APP / "report",
    results=APP.parent / "docs" / "results.md",
    summary=APP.parent / "README.md",
)
