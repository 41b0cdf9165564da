"""BLAS threads: one while anything trains, and what was there before afterwards."""

import threading

import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

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

    threads = [threading.Thread(target=f) for f in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert seen == [{1}]
    assert blas_threads() == {2}
