"""Builds ahead: beside a block, never after it."""

import threading
import time

from kernelsearch.errors import BuildError
from kernelsearch.sandbox.workshop import PATIENCE_S, Workshop


def test_what_was_wished_for_last_is_built_first_and_each_once():
    built, shop, is_done = [], Workshop(), threading.Event()
    shop.add(lambda: is_done.set())
    shop.add(lambda: built.append("newest"))
    with shop.open():
        assert is_done.wait(5)
    with shop.open():
        time.sleep(2 * PATIENCE_S)
    assert built == ["newest"]


def test_leaving_waits_for_the_build_that_has_begun_and_begins_no_other():
    built, shop, has_begun = [], Workshop(), threading.Event()
    shop.add(lambda: built.append("another"))

    def build() -> None:
        has_begun.set()
        time.sleep(0.1)
        built.append("begun")

    shop.add(build)
    with shop.open():
        assert has_begun.wait(5)
    time.sleep(2 * PATIENCE_S)
    assert built == ["begun"]


def test_nothing_is_begun_beside_a_block_that_is_over_at_once():
    built, shop = [], Workshop()
    shop.add(lambda: built.append("late"))
    with shop.open():
        pass
    assert built == []


def test_a_build_that_fails_says_nothing():
    shop, is_done = Workshop(), threading.Event()
    shop.add(is_done.set)

    def fail() -> None:
        raise BuildError("no")

    shop.add(fail)
    with shop.open():
        assert is_done.wait(5)
