"""A cluster without processes: actors live in this one, time passes when somebody waits, nodes come and go."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


class Death(Exception):
    """Raised in an actor: the end of its process."""


class RayError(Exception):
    """Whatever Ray raises."""


class TaskError(RayError):
    """The error that reaches the driver for an exception in an actor."""

    def __init__(self, cause: BaseException):
        super().__init__(f"ray::somewhere\n{type(cause).__name__}: {cause}")
        self.cause = cause


class ActorError(RayError):
    """The error that reaches the driver for an actor whose process ended."""


class MemoryKill(RayError):
    """The error for an actor that the system ended for its memory."""


class ObjectGone(RayError):
    """The error for a result that was lost with its node."""


class Unreadable(Exception):
    """The cause of the error for an actor that cannot read what it was sent."""


@dataclass(eq=False)
class Ref:
    """Something that is there at `due`."""

    due: float
    value: Any = None
    error: Exception | None = None


class Actor:
    """A handle: `handle.method.remote(...)` is done at once, and arrives after the actor's earlier calls."""

    def __init__(self, ray: "FakeRay", self_: Any, nth: int):
        self._ray, self._self, self.nth, self.dead, self.free = ray, self_, nth, False, ray.now

    def __getattr__(self, method: str) -> Any:
        return SimpleNamespace(remote=lambda *args: self._call(method, args))

    def _call(self, method: str, args: tuple[Any, ...]) -> Ref:
        ray = self._ray
        ray.calls.append((method, self.nth, args))
        self.free = max(self.free, ray.now) + ray.seconds.get(method, 0.0)
        ref = Ref(self.free)
        if self.dead:
            ref.error = ActorError("it had died\nlong ago")
            return ref
        try:
            ref.value = getattr(self._self, method)(*args)
        except (Death, MemoryKill, ObjectGone) as end:
            self.dead = True
            ref.error = ActorError(f"{end}\nand a page of advice") if isinstance(end, Death) else end
        except Exception as error:
            ref.error = TaskError(error)
        return ref


class FakeRay(ModuleType):
    """The part of `ray` that the engine uses; `nodes_at` gives the nodes at a time, `seconds` what each call takes."""

    def __init__(self, nodes_at: Callable[[float], Sequence[dict[str, float]]], **seconds: float):
        super().__init__("ray")
        self.now, self._nodes_at, self.seconds = 0.0, nodes_at, seconds
        self.calls: list[tuple[str, int, tuple[Any, ...]]] = []
        self.actors: list[Actor] = []
        self.options: list[dict[str, Any]] = []
        self.born: list[float] = []
        self.killed: list[int] = []
        self.exceptions = SimpleNamespace(
            RayError=RayError,
            RayTaskError=TaskError,
            RayActorError=ActorError,
            OutOfMemoryError=MemoryKill,
            ObjectLostError=ObjectGone,
            RaySystemError=Unreadable,
        )

    def install(self, monkeypatch: pytest.MonkeyPatch, *modules: Any) -> "FakeRay":
        """Be `ray`, and the clock of these modules."""
        monkeypatch.setitem(sys.modules, "ray", self)
        for module in modules:
            monkeypatch.setattr(module, "time", self)
        return self

    def nodes(self) -> list[dict[str, Any]]:
        dead = {"Alive": False, "Resources": {"CPU": 64.0}}
        return [dead, *({"Alive": True, "Resources": node} for node in self._nodes_at(self.now))]

    def put(self, value: Any) -> Any:
        return value

    def remote(self, kind: type) -> Any:
        def options(**options: Any) -> Any:
            def remote() -> Actor:
                self.actors.append(Actor(self, kind(), len(self.actors)))
                self.options.append(options)
                self.born.append(self.now)
                return self.actors[-1]

            return SimpleNamespace(remote=remote)

        return SimpleNamespace(options=options)

    def kill(self, actor: Actor) -> None:
        actor.dead = True
        self.killed.append(actor.nth)

    def get(self, ref: Any) -> Any:
        if isinstance(ref, list):
            return [self.get(one) for one in ref]
        self.now = max(self.now, ref.due)
        if ref.error is not None:
            raise ref.error
        return ref.value

    def wait(self, refs: list[Ref], num_returns: int, timeout: float) -> tuple[list[Ref], list[Ref]]:
        if not refs or len(set(refs)) < len(refs):
            raise ValueError("wait() takes a list of different refs, and not an empty one")
        order = sorted(refs, key=lambda ref: ref.due)[:num_returns]
        ready = [ref for ref in order if ref.due <= self.now + timeout]
        self.sleep(max(ready[-1].due - self.now, 0.0) if len(ready) == num_returns else timeout)
        return ready, [ref for ref in refs if ref not in ready]

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now > 1000:
            raise AssertionError("it waits without end")

    @property
    def alive(self) -> list[int]:
        return [actor.nth for actor in self.actors if not actor.dead]
