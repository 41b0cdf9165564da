"""BLAS threads: one while anything trains, and what was there before afterwards."""

import os
import threading

import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

from fastl0 import threads
from fastl0.threads import single_threaded_blas


def blas_threads():
    return {p["num_threads"] for p in ThreadpoolController().select(user_api="blas").info()}


@pytest.fixture(autouse=True)
def _two_threads_to_start_with():
    with threadpool_limits(2, user_api="blas"):
        yield


def test_inside_there_is_one_thread_and_afterwards_as_many_as_before():
    with single_threaded_blas():
        assert blas_threads() == {1}
    assert blas_threads() == {2}


@pytest.mark.parametrize("step", ["_libraries", "_set_threads"])
def test_ctrl_c_on_the_way_in_leaves_nothing_behind(monkeypatch, step):
    with monkeypatch.context() as patched:
        calls = []

        def interrupted(*args):
            calls.append(args)
            if len(calls) == 1:
                raise KeyboardInterrupt
            return original(*args)

        original = getattr(threads, step)
        patched.setattr(threads, step, interrupted)
        with pytest.raises(KeyboardInterrupt), single_threaded_blas():
            raise AssertionError("not reached")
    assert blas_threads() == {2}
    with single_threaded_blas():
        assert blas_threads() == {1}
    assert blas_threads() == {2}


def test_nested_use_restores_at_the_outermost_exit():
    with single_threaded_blas():
        with single_threaded_blas():
            pass
        assert blas_threads() == {1}
    assert blas_threads() == {2}


def test_an_error_inside_restores_too():
    with pytest.raises(KeyError), single_threaded_blas():
        raise KeyError
    assert blas_threads() == {2}


def test_a_training_in_another_thread_than_the_one_that_set_the_limits_has_one_thread():
    seen = []

    def train():
        with single_threaded_blas():
            seen.append(blas_threads())

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert seen == [{1}]
    assert blas_threads() == {2}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
# Forking beside threads is what is tested; BLAS's own are idle.
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_forked_while_another_thread_trains_starts_afresh():
    with single_threaded_blas():
        child = os.fork()
        if child == 0:
            try:
                afterwards = blas_threads()
                with single_threaded_blas():
                    during = blas_threads()
                os._exit(0 if (afterwards, during) == ({2}, {1}) else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert blas_threads() == {2}


def test_overlapping_threads_restore_when_the_last_one_leaves():
    first_in, second_in, first_out = (threading.Event() for _ in range(3))
    seen = []

    def first():
        with single_threaded_blas():
            first_in.set()
            second_in.wait(10)
        first_out.set()

    def second():
        first_in.wait(10)
        with single_threaded_blas():
            second_in.set()
            first_out.wait(10)
            seen.append(blas_threads())

    both = [threading.Thread(target=f) for f in (first, second)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join(20)
    assert seen == [{1}]
    assert blas_threads() == {2}
