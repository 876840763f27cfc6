"""Runs on a Ray cluster, or on this machine through Ray; all its nodes see the workspace under the same path."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from l2aco.clusters import start_ray
from l2aco.errors import L2aCoError

if TYPE_CHECKING:
    from l2aco.runs.spec import TrainSpec
    from l2aco.training.several import Call, Told


class RayPool:
    """Every run is a task of as many cores as its spec has threads, so that no core is given away twice."""

    def submit(self, call: Call, spec: TrainSpec, root: Path, /) -> Future[Told]:
        """A future whose error is the run's own."""
        import ray

        task = ray.remote(num_cpus=spec.threads, max_retries=0)(_told_or_error)
        found: Future[Told] = Future()
        task.remote(call, spec, root).future().add_done_callback(lambda done: _pass_on(done, found))
        return found


@contextmanager
def ray_pool(jobs: int, address: str | None = None) -> Iterator[RayPool]:
    """Of the cluster at `address`, or a local one of `jobs` cores. Raises what `start_ray` does."""
    ours = start_ray(address, jobs)
    try:
        yield RayPool()
    finally:
        if ours:
            import ray

            ray.shutdown()


def _told_or_error(call: Call, spec: TrainSpec, root: Path) -> Told | L2aCoError:
    """An error of ours comes back as it is, without Ray's frames around it."""
    try:
        return call(spec, root)
    except L2aCoError as error:
        return error


def _pass_on(done: Future[Told | L2aCoError], to: Future[Told]) -> None:
    error = done.exception()
    if error is not None:
        to.set_exception(
            L2aCoError(f"Ray ended the run: {error}", remedy="Give the command again: what is done is kept.")
        )
    elif isinstance(result := done.result(), L2aCoError):
        to.set_exception(result)
    else:
        to.set_result(result)
