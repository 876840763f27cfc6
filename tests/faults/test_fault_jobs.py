"""Several trainings at once, one of whose processes is killed."""

from __future__ import annotations

import multiprocessing
import threading
import time

import pytest

from l2aco.errors import L2aCoError
from l2aco.training.request import make_spec, plan
from l2aco.training.several import train_all


def test_a_killed_process_is_one_clear_error_and_the_same_command_goes_on(lab):
    spec = make_spec({"backbone": "GCN", "align.loss": "none"}, ["epochs=2"], lab)
    killed = threading.Event()

    def kill() -> None:
        until = time.monotonic() + 60
        while len(children := multiprocessing.active_children()) < 2 and time.monotonic() < until:
            time.sleep(0.01)
        children[0].kill()  # both are there, and still import
        killed.set()

    threading.Thread(target=kill, daemon=True).start()
    with pytest.raises(L2aCoError, match="ended from outside") as caught:
        train_all(plan(spec, lab, seeds=2), lab, jobs=2)
    assert killed.is_set() and "--jobs" in str(caught.value)
    runs = train_all(plan(spec, lab, seeds=2), lab, jobs=2)
    assert [run.spec.seed for run in runs] == [0, 1]
