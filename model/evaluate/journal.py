"""What has been measured so far, on disk line by line, so that an evaluation goes on from it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from model.data import DataError
from model.evaluate.direct import Part
from model.evaluate.record import AttackRecord, Record, ScopeRecord, from_json
from model.files import write_atomically

JOURNAL = "journal.jsonl"
"""How its file is called in the folder of a report."""


@dataclass(frozen=True)
class Heading:
    """Under what records were made (JSON values), and so, to a later one, which of them still hold."""

    evaluation: Mapping[str, Any] = field(default_factory=dict)
    """What must be equal for any record to be used again."""
    systems: Mapping[str, Any] = field(default_factory=dict)
    """What must be equal for a system's records to be, by its name."""
    scopes: Mapping[str, int] = field(default_factory=dict)
    """How many pictures each scope has, which says which they are."""
    preset: str = ""
    """What must be equal for cascades, which depend on the attacks before. All else that a preset says is in
    the jobs' keys."""

    def normal(self) -> Self:
        """As it comes back from a file."""
        return type(self)(**json.loads(json.dumps(asdict(self))))

    def keeps(self, record: Record, then: Self) -> bool:
        """Whether a record that was made under another heading would be the same under this one."""
        name, scopes = record.system, {"all"}
        if isinstance(record, ScopeRecord) and record.scope != "all":
            scopes |= {"adaptive", record.scope}  # the adaptive attacker's pictures have all smaller scopes
        return (
            name in self.systems
            and self.systems[name] == then.systems[name]
            and all(self.scopes.get(scope) == then.scopes.get(scope) for scope in scopes)
            and (self.preset == then.preset or not (isinstance(record, AttackRecord) and record.cascade))
        )

    def same_job(self, system: str, then: Self) -> bool:
        """Whether a system's job that was begun under another heading would go on alike under this one."""
        return (
            system in self.systems
            and self.systems[system] == then.systems.get(system)
            and (self.scopes, self.preset) == (then.scopes, then.preset)
        )

    def fits(self, record: Record) -> bool:
        """Whether a record can have been made under this heading."""
        whole = not isinstance(record, ScopeRecord) or len(record.right) == self.scopes[record.scope]
        return whole and record.system in self.systems and isinstance(record.seconds, int | float)


class Journal:
    """The records of an evaluation, in the order in which they came.

    A line of the file is a job with its records, a part of a job that was begun, or a heading for the lines
    beneath it. Records that would be
    the same under the present heading are used again; others stay in the file, unused. So a system can be
    added, or trained anew, and it alone is measured; and a longer evaluation of the same pictures takes over
    what a shorter one has. A journal of other pictures or another seed is refused rather than mixed with it.

    Args:
        path: of the file; None keeps the records in memory alone.
        heading: the present one. A job's records are in the order of its systems.
    """

    def __init__(self, path: Path | None = None, heading: Heading | None = None) -> None:
        now = (heading or Heading()).normal()
        self.path = path
        self.done: dict[str, list[Record]] = {}
        """What each job came to, by its key, in the order in which they were done."""
        self.seconds: dict[str, float] = {}
        """What each took, all runs of it together."""
        self.begun: dict[str, dict[int, Part]] = {}
        """Parts of jobs that are not done, by the jobs' keys and their numbers."""
        self._rank = {name: rank for rank, name in enumerate(now.systems)}
        if path is None:
            return
        lines = self._whole_lines(path) if path.exists() else []
        then = Heading()
        for line in lines:
            if "part" in line:
                self._read_part(path, line, now, then)
                continue
            if "job" in line:
                self._keep(line["job"], self._read(path, line, now, then))
                continue
            then = self._heading(path, line)
            if then.evaluation != now.evaluation:
                raise DataError(
                    f"{path} holds another evaluation (other pictures, another classifier to attack or to "
                    f"transfer from, another seed, device or version of torch): name another folder with "
                    f"--report, or delete it"
                )
        if then != now or not lines:
            lines.append(asdict(now))
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
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path} is damaged ({error}): delete it to start anew") from error
        if not all(isinstance(line, dict) for line in lines):
            raise DataError(f"{path} is damaged (a line is no object): delete it to start anew")
        return lines

    @staticmethod
    def _heading(path: Path, line: dict[str, Any]) -> Heading:
        names = {part.name for part in fields(Heading)}
        if line.keys() != names or not all(isinstance(line[name], dict) for name in names - {"preset"}):
            raise DataError(
                f"{path} is no journal of this kind: name another folder with --report, or delete it"
            )
        return Heading(**line)

    def _read(self, path: Path, line: dict[str, Any], now: Heading, then: Heading) -> list[Record]:
        """Those of a line's records that still hold, but for systems that have theirs already."""
        try:
            records = [from_json(values) for values in line["records"]]
            there = self.systems(line["job"])
            if not all(then.fits(record) for record in records):
                raise ValueError("they are not of what the heading says")
            return [record for record in records if now.keeps(record, then) and record.system not in there]
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path} holds no records that can be read ({error!r}): delete it") from error

    def _read_part(self, path: Path, line: dict[str, Any], now: Heading, then: Heading) -> None:
        try:
            job, system, number, part = line["job"], line["system"], line["part"], line["came_to"]
            if now.same_job(system, then):
                self.begun.setdefault(job, {})[int(number)] = Part.from_json(part)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{path} holds no part of a job that can be read ({error!r}): delete it"
            ) from error

    def _keep(self, job: str, records: list[Record]) -> None:
        if records:
            self.begun.pop(job, None)
            found = [*self.done.get(job, ()), *records]
            self.done[job] = sorted(found, key=lambda record: self._rank.get(record.system, 0))
            self.seconds[job] = self.seconds.get(job, 0) + max(record.seconds for record in records)

    @property
    def records(self) -> list[Record]:
        """All records that there are, in the order in which their jobs came."""
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
        self._append({"job": job, "records": [record.to_json() for record in records]})

    def write_part(self, job: str, system: str, number: int, part: Part) -> None:
        """Keep a part of a job for one system, which is not done yet."""
        self.begun.setdefault(job, {})[number] = part
        self._append({"job": job, "system": system, "part": number, "came_to": part.to_json()})

    def _append(self, value: object) -> None:
        if self.path is not None:
            with self.path.open("ab") as file:
                file.write(self._line(value))
                file.flush()
