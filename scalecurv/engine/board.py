"""The way of progress from workers to the driver: they post it on a board in memory, at which the driver looks."""

import logging
import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from scalecurv.record import Stage, Tell

LOOK_EVERY = 1.0  # seconds between two looks

logger = logging.getLogger(__name__)


class _Board:
    """The code that runs in an actor: the last stage of each checkpoint since somebody looked."""

    def __init__(self) -> None:
        self._stages: dict[str, Stage] = {}

    def post(self, stage: Stage) -> None:
        self._stages[stage.path] = stage

    def take(self) -> list[Stage]:
        stages, self._stages = list(self._stages.values()), {}
        return stages


@dataclass(frozen=True)
class Post:
    """Posts stages from the process of a worker, and waits for nothing: a lost board costs a worker nothing."""

    board: Any

    def __call__(self, stage: Stage) -> None:
        from ray.exceptions import RayError

        with suppress(RayError):
            self.board.post.remote(replace(stage, worker=f"{socket.gethostname()}:{os.getpid()}"))


class Board:
    """The driver's side of the board: an actor of its own, as a worker that computes answers nobody.

    A second thread in a worker could answer, but would move the work to another thread than the one whose number of
    threads was set. The driver never waits for the board, and goes on without it where it is lost.
    """

    def __init__(self, ray: Any, tell: Tell):
        self._ray, self._tell = ray, tell
        self._actor = ray.remote(_Board).options(num_cpus=0, max_restarts=0, max_task_retries=0).remote()
        self.post = Post(self._actor)
        self._asked: Any = None
        self._looked = time.monotonic()

    def look(self) -> None:
        """Tell the stages that have come; ask for more where the last look is LOOK_EVERY seconds ago."""
        if self._actor is None:
            return
        if self._asked is None:
            if time.monotonic() - self._looked >= LOOK_EVERY:
                self._asked, self._looked = self._actor.take.remote(), time.monotonic()
            return
        arrived, _ = self._ray.wait([self._asked], num_returns=1, timeout=0)
        if not arrived:
            return
        try:
            stages = self._ray.get(self._asked)
        except self._ray.exceptions.RayError as error:
            logger.debug("progress within checkpoints is not known from here on: %s", error)
            self._actor = None
            return
        self._asked = None
        for stage in stages:
            self._tell(stage)

    def end(self) -> None:
        """End the actor."""
        if self._actor is not None:
            self._ray.kill(self._actor)
            self._actor = None
