"""What has been measured so far, on disk line by line, so that an evaluation goes on from it."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from model.data import DataError
from model.evaluate.record import Record, from_json
from model.files import write_atomically

JOURNAL = "journal.jsonl"
"""How its file is called in the folder of a report."""


class Journal:
    """The records of an evaluation, in the order in which they came.

    A line of the file is a job with its records, or a heading: which evaluation this is, and what each system
    was when the lines beneath it were written. Records of systems that are the same now are used again; those
    of others stay in the file, unused. So a system can be added, or trained anew, and it alone is measured. A
    journal of other pictures, attacks or another seed is refused rather than mixed with them.

    Args:
        path: of the file; None keeps the records in memory alone.
        identity: what must be equal for any record to be used again (JSON values).
        systems: what must be equal for those of a system to be, by its name (JSON values). A job's records
            are in their order.
    """

    def __init__(
        self,
        path: Path | None = None,
        identity: Mapping[str, Any] | None = None,
        systems: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = path
        self.done: dict[str, list[Record]] = {}
        """What each job came to, by its key, in the order in which they were done."""
        self.seconds = 0.0
        """What these took together."""
        self._rank = {name: rank for rank, name in enumerate(systems or {})}
        if path is None:
            return
        heading = json.loads(json.dumps({"evaluation": identity or {}, "systems": systems or {}}))
        lines = self._whole_lines(path) if path.exists() else []
        then: dict[str, Any] = {}
        for line in lines:
            if "job" in line:
                same = {
                    name for name, now in heading["systems"].items() if name in then and then[name] == now
                }
                self._read(path, line, same)
            elif line.get("evaluation") == heading["evaluation"] and isinstance(line.get("systems"), dict):
                then = line["systems"]
            else:
                raise DataError(
                    f"{path} holds another evaluation (other pictures, attacks or seed, or a format that is "
                    f"no more): name another folder with --report, or delete it"
                )
        if then != heading["systems"] or not lines:
            lines.append(heading)
        write_atomically(path, b"".join(map(self._line, lines)))

    @staticmethod
    def _line(value: object) -> bytes:
        return json.dumps(value).encode() + b"\n"

    @staticmethod
    def _whole_lines(path: Path) -> list[dict[str, Any]]:
        """All lines but a last one that was not finished."""
        text = path.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        try:
            lines = [json.loads(line) for line in whole.splitlines()]
        except ValueError as error:
            raise DataError(f"{path} is damaged ({error}): delete it to start anew") from error
        if not all(isinstance(line, dict) for line in lines):
            raise DataError(f"{path} is damaged (a line is no object): delete it to start anew")
        return lines

    def _read(self, path: Path, line: dict[str, Any], systems: set[str]) -> None:
        try:
            records = [from_json(values) for values in line["records"]]
        except (KeyError, TypeError) as error:
            raise DataError(f"{path} holds no records that can be read ({error!r}): delete it") from error
        self._keep(line["job"], [record for record in records if record.system in systems])

    def _keep(self, job: str, records: list[Record]) -> None:
        if records:
            found = [*self.done.get(job, ()), *records]
            self.done[job] = sorted(found, key=lambda record: self._rank.get(record.system, 0))
            self.seconds += max(record.seconds for record in records)

    @property
    def records(self) -> list[Record]:
        """All records so far, in the order in which they came."""
        return [record for records in self.done.values() for record in records]

    def of(self, jobs: Iterable[str]) -> list[Record]:
        """The records of these jobs, in this order, whenever they came."""
        return [record for job in jobs for record in self.done.get(job, ())]

    def systems(self, job: str) -> set[str]:
        """Of which systems it has a job's records."""
        return {record.system for record in self.done.get(job, ())}

    def write(self, job: str, records: list[Record]) -> None:
        """Keep the records of a job that is done, for all of its systems or for some."""
        self._keep(job, records)
        if self.path is not None:
            with self.path.open("ab") as file:
                file.write(self._line({"job": job, "records": [record.to_json() for record in records]}))
                file.flush()
