"""Key moments: what is worth knowing about the steps of a request, found as they come."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from databases.inspector import advice
from databases.steps import Kind
from databases.verbs import Verb, verb_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from databases.inspector.advice import Advice
    from databases.inspector.recorder import Record
    from databases.operations import Operation
    from databases.pending import CallSite
    from databases.steps import Request, Step, Steps

_REPEATED = 3
"""How often a family of statements runs from one place in one request to be told of."""

_WAITED = 0.05
"""Seconds of waiting for a connection or for the writer."""

_WAITING = 0.1
"""The same for somebody who waits still."""

_HELD, _UNUSED = 0.5, 0.25
"""Seconds for which a connection is held, while it is in use for at most this part of them."""

_IDLE = 0.1
"""Seconds in a transaction in which nothing runs."""

_SAVED = 0.01
"""Seconds that queries one after the other would save at the least, were they run at once."""

_MOST = 200
"""Moments that are kept of all requests."""

_MOST_LASTING = 20
"""Those who wait, and those who hold something, of whom it is told while they do."""

_MOST_STEPS = 100
"""Numbers of steps that a moment names."""


@dataclass
class Moment:
    """Something worth knowing.

    Args:
        number: tells it from others.
        kind: what it is: ``"n+1"``, ``"slow"`` and so on.
        advice: what to say about it.
        site: where.
        request: in which request.
        time: when, in seconds since the epoch.
        cost: how long it took, in seconds.
        family: the family of statements that it is about.
        holder: who holds what was waited for.
        steps: the numbers of the steps that show it.
        times: how often it has come up.
        until: until when its cost is counted, by ``time.perf_counter``.
    """

    number: int
    kind: str
    advice: Advice
    site: CallSite | None
    request: Request | None
    time: float
    cost: float | None = None
    sql: str | None = None
    family: str | None = None
    holder: str | None = None
    steps: list[int] = field(default_factory=list)
    times: int = 1
    until: float = 0.0

    def count(self, operation: Operation) -> None:
        """Add what a query took to the cost; those that ran at the same time count once."""
        began = max(operation.began, self.until)
        self.cost = (self.cost or 0.0) + max(0.0, operation.ended_at - began)
        self.until = max(operation.ended_at, self.until)


class _Watch:
    """A connection that is held."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.in_transaction = False
        self.last: Step | None = None
        self.told = False


class Moments:
    """Finds the moments of all requests.

    Args:
        slow: seconds from which on a query counts as slow.
        steps: the steps of the database.
    """

    def __init__(self, slow: float, steps: Steps) -> None:
        self.slow = slow
        self._steps = steps
        self._numbers = itertools.count(1)
        self._latest: dict[object, Moment] = {}
        self._leases: dict[int, _Watch] = {}
        self._waiting: dict[int, tuple[Step, Record]] = {}
        self.version = 0
        """Grows with each change."""

    def latest(self) -> list[Moment]:
        """The moments of all requests, the newest first; the same from one place is one."""
        return sorted(self._latest.values(), key=lambda moment: -moment.time)

    def __len__(self) -> int:
        return len(self._latest)

    def clear(self) -> None:
        """Forget all."""
        self._latest.clear()
        self.version += 1

    def look_at(self, step: Step, record: Record) -> None:
        """Look at a step that is not one of a query."""
        kind = step.kind
        if step.operation.lease is not None:
            self._look_at_lease(step, record)
        if kind is Kind.WAIT:
            self._waiting[step.operation.number] = (step, record)
        elif kind is Kind.DROPPED:
            self._add("dropped", step, record, advice.dropped(step))
        elif kind is Kind.RETRY:
            self._add("retry", step, record, advice.retried(step))
        elif kind is Kind.RESPONSE:
            self._look_for_sequence(record)
            record.repeated.clear()
        elif self._waiting:
            self._end_waiting(step)

    def look_at_query(self, operation: Operation, record: Record) -> None:
        """Look at a query that is over, of a request or on a connection that is held."""
        if operation.lease is not None or operation.number in self._waiting:
            for step in self._steps.query_steps(operation):
                if operation.lease is not None:
                    self._look_at_lease(step, record)
                if step.kind is Kind.ROWS:
                    self._end_waiting(step)
        if record.is_open and operation.sent_number and operation.family is not None:
            reads = verb_of(operation.family) is Verb.READ
            if not self._is_repeated(operation, record, reads):
                self._note_read(operation, record, reads)

    def add_slow(self, operation: Operation, record: Record) -> None:
        """Tell of a query that took long."""
        step = self._steps.query_steps(operation)[-1]
        self._add("slow", step, record, advice.slow(step), cost=step.query + step.decode)

    @property
    def anybody_waits(self) -> bool:
        """Whether all queries have to be looked at, not only those of requests and connections."""
        return bool(self._waiting)

    def look_at_what_lasts(self) -> None:
        """Tell of those who wait, and of those who hold something for nothing, while they do."""
        now = self._steps.now()
        # The longest first.
        for step, record in list(itertools.islice(self._waiting.values(), _MOST_LASTING)):
            if now - step.time >= _WAITING:
                self._add_waiting(step, record, now - step.time, still=True)
        idle = [
            each
            for each in itertools.islice(self._leases.values(), _MOST_LASTING)
            if each.last is not None and now - each.last.time > _HELD
        ]
        if not idle:
            return
        running = {each.lease.number for each in self._steps.under_way() if each.lease}
        for watch in idle:
            if watch.last is not None and watch.last.lease not in running:
                self._add_idle(watch, watch.last, now - watch.last.time)

    # Each kind of moment.

    def _is_repeated(self, operation: Operation, record: Record, reads: bool) -> bool:
        """Whether it is one of many of its family from one place; told of from the third on."""
        key = ("repeated", operation.family, operation.site)
        moment = record.moments.get(key)
        if moment is not None:
            moment.count(operation)
            moment.times += 1
            if len(moment.steps) < _MOST_STEPS:
                moment.steps.append(operation.sent_number)
            self.version += 1
            return True
        same = record.repeated.setdefault(key, [])
        if not reads and same and _are_at_once(same[-1], operation):
            return False
        same.append(operation)
        if len(same) < _REPEATED or (reads and advice.is_a_page(operation.family or "")):
            return False
        step = self._steps.query_steps(operation)[-1]
        told = advice.repeated(step) if reads else advice.one_by_one(step)
        moment = self._new("n+1" if reads else "sequential", step, record, told)
        moment.steps = [each.sent_number for each in same]
        moment.times = len(same)
        for each in sorted(same, key=lambda each: each.began):
            moment.count(each)
        self._put(key, moment, record)
        return True

    def _note_read(self, operation: Operation, record: Record, reads: bool) -> None:
        """Remember a read for what could have been run at once with it."""
        noted = record.reads
        if operation.lease is not None or not reads:
            self._look_for_sequence(record)
        elif len(noted) < _MOST_STEPS:
            noted.append(operation)

    def _look_for_sequence(self, record: Record) -> None:
        """Whether reads ran one after the other that could have been run at once."""
        reads, record.reads = record.reads, []
        sites = list(dict.fromkeys(read.site for read in reads if read.site is not None))
        if len(sites) < 2 or len(sites) != len(reads):
            return
        seconds = [read.ended_at - read.began for read in reads]
        saved = sum(seconds) - max(seconds)
        at_once = any(itertools.starmap(_are_at_once, itertools.pairwise(reads)))
        if at_once or saved < _SAVED:
            return
        step = self._steps.query_steps(reads[0])[-1]
        told = advice.could_be_gathered(sites, saved)
        moment = self._new("sequential", step, record, told)
        moment.cost = saved
        moment.steps = [read.sent_number for read in reads]
        self._put(("gather", *sites), moment, record)

    def _look_at_lease(self, step: Step, record: Record) -> None:
        lease = step.operation.lease
        assert lease is not None
        watch = self._leases.get(lease.number)
        if watch is None:
            watch = self._leases[lease.number] = _Watch(record)
        kind = step.kind
        if kind is Kind.WAIT or kind is Kind.RETRY:
            return
        if lease.is_ground or (kind is Kind.ACQUIRE and step.operation.failed):
            # A transaction around a whole test is meant to last; and nothing is held.
            self._leases.pop(lease.number, None)
            return
        last = watch.last
        if kind is not Kind.ROWS and watch.in_transaction and last is not None:
            idle = step.time - step.duration - last.time
            if idle >= _IDLE and kind is not Kind.RELEASE:
                self._add_idle(watch, last, idle, until=step)
        watch.last = step
        if kind is Kind.BEGIN:
            watch.in_transaction = not step.operation.failed
        elif kind is Kind.COMMIT or (kind is Kind.ROLLBACK and step.before == "in transaction"):
            watch.in_transaction = False
        elif kind is Kind.RELEASE:
            del self._leases[lease.number]
            lasted = step.lasted or 0.0
            if lasted >= _HELD and step.query <= _UNUSED * lasted and not watch.told:
                self._add("held", step, record, advice.held(step), cost=lasted - step.query)

    def _add_idle(
        self, watch: _Watch, last: Step, seconds: float, until: Step | None = None
    ) -> None:
        """Nothing has run on a connection since its last step, and maybe runs still not."""
        lease = last.operation.lease
        if lease is None:
            return
        if watch.in_transaction:
            watch.told = True
            kind, told = "idle transaction", advice.idle_in_transaction(last, until, seconds)
        else:
            kind, told = "held", advice.idle_connection(last, seconds)
        self._add(kind, last, watch.record, told, cost=seconds, site=lease.site, again=last.number)

    def _end_waiting(self, step: Step) -> None:
        waited = self._waiting.get(step.operation.number)
        if waited is None:
            return
        del self._waiting[step.operation.number]
        since, record = waited
        if step.time - since.time >= _WAITED:
            self._add_waiting(since, record, step.time - since.time, still=False)

    def _add_waiting(self, step: Step, record: Record, seconds: float, *, still: bool) -> None:
        told = advice.waited(step, seconds, still=still)
        self._add("waiting", step, record, told, cost=seconds, again=step.number)

    def _add(
        self,
        kind: str,
        step: Step,
        record: Record,
        told: Advice,
        *,
        cost: float | None = None,
        site: CallSite | None = None,
        again: int | None = None,
    ) -> None:
        """Add a moment, or count one more where there is one of the same kind from one place."""
        moment = self._new(kind, step, record, told)
        if site is not None:
            moment.site, moment.sql, moment.family = site, None, None
        key = (kind, moment.family, moment.site)
        before = record.moments.get(key)
        moment.cost = cost
        if before is not None:
            same = again is not None and again in before.steps
            moment.number = before.number
            moment.times = before.times + (not same)
            moment.steps = before.steps[-_MOST_STEPS:] + ([] if same else [step.number])
            if cost is not None and before.cost is not None:
                moment.cost = max(cost, before.cost)
        self._put(key, moment, record)

    def _new(self, kind: str, step: Step, record: Record, told: Advice) -> Moment:
        operation = step.operation
        holder = "; ".join(map(advice.who, step.holders)) or None
        return Moment(
            next(self._numbers),
            kind,
            told,
            operation.site,
            record.request,
            step.time,
            None,
            operation.sql,
            operation.family,
            holder,
            [step.number],
        )

    def _put(self, key: object, moment: Moment, record: Record) -> None:
        self.version += 1
        for moments in (record.moments, self._latest):
            # The newest last, and the oldest forgotten.
            moments.pop(key, None)
            moments[key] = moment
            if len(moments) > _MOST:
                del moments[next(iter(moments))]


def _are_at_once(earlier: Operation, later: Operation) -> bool:
    """Whether nobody awaited the one before the other began.

    Of two tasks one may have had to wait for the other all the same.
    """
    return later.began < earlier.ended_at or later.task != earlier.task
