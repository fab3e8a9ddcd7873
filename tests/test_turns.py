import threading

import pytest

from app.turns import Turns


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
        while len(turns._queue) < 2:
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
    assert not turns._queue


def test_a_turn_is_given_back_after_an_error():
    turns = Turns()
    with pytest.raises(ZeroDivisionError), turns.turn():
        raise ZeroDivisionError
    with turns.turn():
        assert len(turns._queue) == 1
