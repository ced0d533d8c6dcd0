"""Work on many files at once, in threads: the trackers and transforms behind the metrics release Python's lock."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_limits
from tqdm import tqdm

from synctrack.processors import processors

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int | None = None,
    progress: str | None = None,
    unit: str = "file",
) -> Iterator[Result]:
    """`function` of each item, in order, each as soon as it is ready. What is not begun is dropped at an error.

    Args:
        function: of one item.
        items: to work on.
        workers: items at once; all processors where None.
        progress: what the progress bar is called; none where None.
        unit: what it counts.
    """
    pool = ThreadPoolExecutor(workers or processors())
    try:
        # The work is divided by items; matrix products that divide it again would get into each other's way.
        with threadpool_limits(1, user_api="blas"):
            # Without a terminal there is no bar either.
            hidden = True if progress is None else None
            yield from tqdm(pool.map(function, items), total=len(items), desc=progress, unit=unit, disable=hidden)
    finally:
        pool.shutdown(cancel_futures=True)
