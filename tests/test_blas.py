"""BLAS is held to one thread while rows are evaluated, and is afterwards as it was."""

from __future__ import annotations

import multiprocessing
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from skgauss._blas import one_blas_thread


def in_use():
    return {lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def two_threads():
    """As on a machine of two cores."""
    with threadpool_limits(2, user_api="blas"):
        yield


def test_a_block_ends_as_it_began():
    with one_blas_thread():
        assert in_use() == {1}
        with one_blas_thread():
            pass
        assert in_use() == {1}
    assert in_use() == {2}


@pytest.mark.parametrize("first_out", [0, 1])
def test_blocks_of_two_threads_end_in_any_order(first_out):
    blocks = [one_blas_thread(), one_blas_thread()]
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        pools = [one, other]
        for pool, block in zip(pools, blocks, strict=True):
            pool.submit(block.__enter__).result()
            assert in_use() == {1}
        for which in (first_out, 1 - first_out):
            assert in_use() == {1}
            pools[which].submit(blocks[which].__exit__, None, None, None).result()
        assert in_use() == {2}


def test_limits_are_left_to_other_threads():
    with one_blas_thread():
        pass
    with ThreadPoolExecutor(1) as pool:
        pool.submit(threadpool_limits, 3).result()
    assert in_use() == {3}


def _child(connection):
    with one_blas_thread():
        connection.send(in_use())


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")
def test_a_process_forked_while_a_thread_is_inside_does_not_wait_for_it():
    entered, leave = threading.Event(), threading.Event()

    def stay():
        with one_blas_thread():
            entered.set()
            leave.wait()

    thread = threading.Thread(target=stay)
    thread.start()
    entered.wait()
    try:
        context = multiprocessing.get_context("fork")
        here, there = context.Pipe()
        child = context.Process(target=_child, args=(there,))
        child.start()
        assert here.poll(30)
        assert here.recv() == {1}
        child.join(30)
        assert child.exitcode == 0
    finally:
        leave.set()
        thread.join()
    assert in_use() == {2}
