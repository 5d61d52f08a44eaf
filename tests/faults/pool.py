"""The runs of a sweep, several at a time: each worker has a lab of its own, all under one authority."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from queue import Empty, SimpleQueue
from typing import TypeVar

from tests.lab.lab import Lab
from tests.lab.pki import Pki

Job = TypeVar("Job")
Outcome = TypeVar("Outcome")


def run_all(
    vendor: str, pki: Pki, jobs: Iterable[Job], run: Callable[[Lab, Job], Outcome], workers: int
) -> list[Outcome]:
    """Run all jobs with a vendor's array, begun in the order given; return their outcomes in no order.

    Raises what a run raised.
    """
    waiting: SimpleQueue[Job] = SimpleQueue()
    for job in jobs:
        waiting.put(job)

    def work(_: int) -> list[Outcome]:
        outcomes: list[Outcome] = []
        with Lab(pki=pki, array=vendor) as lab:
            while True:
                try:
                    job = waiting.get_nowait()
                except Empty:
                    return outcomes
                outcomes.append(run(lab, job))

    with ThreadPoolExecutor(workers) as pool:
        return list(chain.from_iterable(pool.map(work, range(workers))))
