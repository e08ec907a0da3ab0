"""Processes and threads that cannot be started are told in a line, and leave no other process."""

from __future__ import annotations

import errno
import os
import subprocess
import threading
from typing import Any

import pytest

from pyncnnq import PyncnnqError
from pyncnnq.runtime.pool import WorkerPool


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EAGAIN, errno.ENOMEM])
def test_a_second_worker_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    real, started = subprocess.Popen, []

    def start(*arguments: Any, **options: Any) -> Any:
        if started:
            raise OSError(number, os.strerror(number))
        started.append(real(*arguments, **options))
        return started[0]

    monkeypatch.setattr(subprocess, "Popen", start)
    with pytest.raises(PyncnnqError, match=r"^worker process 2 of 3 cannot be started: .*; give fewer `workers=`"):
        WorkerPool(3)
    assert started[0].returncode is not None


def test_no_room_for_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(
        PyncnnqError, match=r"^worker process 1 of 2 cannot be started: no room for a thread; give fewer"
    ):
        WorkerPool(2)
