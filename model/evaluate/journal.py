"""What has been measured so far, on disk line by line, so that an interrupted run goes on where it was."""

import json
from pathlib import Path
from typing import Any

from model.data import DataError
from model.evaluate.record import Record, from_json
from model.files import write_atomically

JOURNAL = "journal.jsonl"
"""How its file is called in the folder of a report."""


class Journal:
    """The records of a run, in the order in which they came.

    The first line says which run it is; a journal of another run is refused rather than mixed with it.

    Args:
        path: of the file; None keeps the records in memory alone.
        identity: what must be equal for records to be used again (JSON values).
    """

    def __init__(self, path: Path | None, identity: dict[str, Any]) -> None:
        self.path = path
        self.done: dict[str, list[Record]] = {}
        """What each job came to, by its key, in the order in which they were done."""
        if path is None:
            return
        if path.exists():
            lines = self._whole_lines(path)
            if lines and lines[0] != json.loads(json.dumps(identity)):
                raise DataError(
                    f"{path} holds another evaluation (other weights, pictures, attacks or seed): "
                    f"name another folder with --report, or delete it"
                )
            for line in lines[1:]:
                self._read(path, line)
            write_atomically(path, b"".join(self._line(line) for line in lines or [identity]))
        else:
            write_atomically(path, self._line(identity))

    @staticmethod
    def _line(value: object) -> bytes:
        return json.dumps(value).encode() + b"\n"

    @staticmethod
    def _whole_lines(path: Path) -> list[Any]:
        """All lines but a last one that was not finished."""
        text = path.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        try:
            return [json.loads(line) for line in whole.splitlines()]
        except ValueError as error:
            raise DataError(f"{path} is damaged ({error}): delete it to start anew") from error

    def _read(self, path: Path, line: dict[str, Any]) -> None:
        try:
            self.done[line["job"]] = [from_json(values) for values in line["records"]]
        except (KeyError, TypeError) as error:
            raise DataError(f"{path} holds no records that can be read ({error!r}): delete it") from error

    @property
    def records(self) -> list[Record]:
        """All records so far, in the order in which they came."""
        return [record for records in self.done.values() for record in records]

    def write(self, job: str, records: list[Record]) -> None:
        """Keep the records of a finished job."""
        self.done[job] = records
        if self.path is not None:
            with self.path.open("ab") as file:
                file.write(self._line({"job": job, "records": [record.to_json() for record in records]}))
                file.flush()
