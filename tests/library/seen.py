"""The steps that a test has seen, and what must be true of any steps."""

from __future__ import annotations

import pytest

from databases import Database
from databases.steps import Kind, Step


class Seen(list[Step]):
    """The steps of a database since it was looked at."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self.leave = database.steps.subscribe(lambda step, bound: self.append(step))

    def kinds(self) -> list[str]:
        return [step.kind.value for step in self]

    def of(self, kind: Kind) -> list[Step]:
        return [step for step in self if step.kind is kind]

    def one(self, kind: Kind) -> Step:
        [step] = self.of(kind)
        return step

    def states(self) -> list[tuple[str, str, str]]:
        return [(step.kind.value, step.before, step.after) for step in self]

    def add_up(self) -> None:
        """Fail unless each has its number, what belongs to it, and takes as long as it took."""
        numbers = [step.number for step in self]
        assert numbers == sorted(set(numbers))
        sent: dict[int, Step] = {}
        for step in self:
            assert min(step.queue, step.query, step.decode) >= 0, step
            number = step.operation.number
            if step.kind is Kind.QUERY:
                assert number not in sent
                sent[number] = step
            elif step.kind is Kind.ROWS and number in sent:
                query = sent[number]
                assert (step.site, step.task) == (query.site, query.task)
                if step.operation is query.operation:
                    # One clock for all: what it took is what lies between its steps.
                    took = step.time - query.time
                    assert took == pytest.approx(step.duration, abs=1e-5), step
        released = [step.lease for step in self.of(Kind.RELEASE)]
        assert len(released) == len(set(released))
        assert set(released) <= {step.lease for step in self} - {None}


def source(step: Step, file: str) -> str | None:
    """The line of a test's own module that a step comes from."""
    assert step.site is not None
    assert step.site.filename == file
    assert f'{file.rpartition("/")[2]}", line {step.site.line}, in ' in str(step.site)
    return step.site.source()
