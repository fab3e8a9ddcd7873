import threading
import time
from contextlib import contextmanager

import pytest

from app.turns import SLICE_SECONDS, BusyError, Turns


def test_turns_go_in_the_order_in_which_they_were_asked_for():
    turns, order, asked = Turns(), [], threading.Event()

    def visitor() -> None:
        asked.set()
        with turns.turn():
            order.append("visitor")

    with turns.turn():
        thread = threading.Thread(target=visitor)
        thread.start()
        assert asked.wait(5)
        while not turns.waiting:
            pass
        order.append("step 1")
    with turns.turn():  # at once, but the other one has asked before
        order.append("step 2")
    thread.join(5)
    assert order == ["step 1", "visitor", "step 2"]


def test_who_gives_up_while_waiting_leaves_the_others_their_turns():
    turns = Turns()

    def give_up() -> None:
        raise KeyboardInterrupt

    with turns.turn(), pytest.raises(KeyboardInterrupt), turns.turn(give_up):
        pytest.fail("it was not its turn")
    with turns.turn(give_up):  # nobody is before it, so it is not asked
        pass
    assert turns.idle


def test_a_turn_is_given_back_after_an_error():
    turns = Turns()
    with pytest.raises(ZeroDivisionError), turns.turn():
        raise ZeroDivisionError
    with turns.turn():
        assert not turns.idle
    assert turns.idle


class Clock:
    """A clock that goes on where it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_long_turn_lets_the_other_lane_go_first_and_then_goes_on():
    clock, order, kept = Clock(), [], []
    turns = Turns(lambda: contextmanager(lambda: kept.append("kept") or (yield))(), clock=clock)
    asked = threading.Event()

    def small(seconds: float) -> None:
        asked.set()
        with turns.turn(lane="small"):
            order.append("small")
            clock.now += seconds

    with turns.turn(lane="large"):
        clock.now += 1
        turns.give_way()  # to nobody
        order.append("large")
        for seconds in (0.5, 3.0):
            thread = threading.Thread(target=small, args=(seconds,))
            thread.start()
            assert asked.wait(5)
            while not turns.waiting:
                pass
            clock.now += 1
            turns.give_way()
            thread.join(5)
            order.append("large")
            asked.clear()
        assert turns.away == 3.5
    assert order == ["large", "small", "large", "small", "large"]
    assert kept == ["kept", "kept"]
    assert turns.idle


def test_a_lane_that_had_more_than_the_other_waits():
    """Both want to compute all the time: each has half of it, however short the turns of one are."""
    clock, had = Clock(), {"small": 0.0, "large": 0.0}
    turns = Turns(clock=clock)
    begun = threading.Barrier(2)

    def work(lane: str, turn_seconds: float) -> None:
        begun.wait(5)
        while clock.now < 100:
            with turns.turn(lane=lane):
                for _ in range(round(turn_seconds / 0.1)):
                    clock.now += 0.1
                    had[lane] += 0.1
                    time.sleep(0.0005)
                    turns.give_way()

    threads = [threading.Thread(target=work, args=it) for it in (("small", 0.2), ("large", 30.0))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert 0.6 < had["small"] / had["large"] < 1.6
    assert turns.idle


def test_no_turn_is_given_away_for_less_than_a_slice_or_within_a_lane():
    clock = Clock()
    turns = Turns(clock=clock)

    def other(lane: str) -> threading.Thread:
        thread = threading.Thread(target=lambda: turns.turn(lane=lane).__enter__(), daemon=True)
        thread.start()
        while not turns.waiting:
            pass
        return thread

    with turns.turn(lane="a"):
        waiting = other("a")
        clock.now += 1
        turns.give_way(pytest.fail)
    waiting.join(5)  # and keeps it for ever
    turns = Turns(clock=clock)
    with turns.turn(lane="a"):
        waiting = other("b")
        clock.now += SLICE_SECONDS / 2
        turns.give_way(pytest.fail)
    waiting.join(5)


def test_who_is_stopped_while_others_go_first_does_not_come_back():
    clock = Clock()
    turns = Turns(clock=clock)
    stop = threading.Event()

    def other() -> None:
        with turns.turn(lane="b"):
            stop.wait(5)

    def check() -> None:
        raise KeyboardInterrupt

    thread = threading.Thread(target=other)
    with turns.turn(lane="a"):
        thread.start()
        while not turns.waiting:
            pass
        clock.now += 1
        with pytest.raises(KeyboardInterrupt):
            turns.give_way(check)
    stop.set()
    thread.join(5)
    assert turns.idle


def test_who_waits_is_told_the_place_and_about_how_long():
    clock, told = Clock(), []
    turns = Turns(clock=clock)
    with turns.turn(lane="a"):
        clock.now += 2
    release = threading.Event()

    def first() -> None:
        with turns.turn(lane="a"):
            release.wait(5)

    def second() -> None:
        with turns.turn(lane="a", told=lambda *now: told.append(now)):
            pass

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    while turns.idle:
        pass
    threads[1].start()
    while not told:
        pass
    release.set()
    for thread in threads:
        thread.join(5)
    assert told == [(1, 2.0)]


def test_more_than_the_limit_are_refused_and_told_when_to_come_back():
    clock = Clock()
    turns = Turns(limit=1, clock=clock)
    with turns.turn():
        clock.now += 3
    with turns.turn():
        thread = threading.Thread(target=lambda: turns.turn().__enter__(), daemon=True)
        thread.start()
        while not turns.waiting:
            pass
        with pytest.raises(BusyError) as refused, turns.turn():
            pytest.fail("there was no place")
        assert (refused.value.count, refused.value.seconds) == (1, 3.0)
    thread.join(5)
