"""Samples spread over the ranks of a process group, and the calls that combine the results of all ranks.

Every rank runs the same program on its own samples and makes the calls below in the same order: a branch may depend
only on numbers that all ranks share. Each call uses the default group of torch.distributed. If one rank raises alone
(out of memory, say), the others wait until that group's timeout: the caller that makes the group gives it a finite
timeout, and ends all ranks when one of them fails.
"""

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from scalecurv.errors import Misuse

TEXT = 4096  # bytes of a text that ranks exchange
ADVICE = "give --plan checkpoints or leave this measure out"


@dataclass(frozen=True)
class Shard:
    """Rank `rank` of `size`; a single rank holds all samples and needs no group."""

    rank: int = 0
    size: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.size:
            raise ValueError(f"rank {self.rank} of {self.size}: ranks count from 0")

    def parts(self, num_data: int) -> list[slice]:
        """Return the samples of each rank: consecutive, at least one, and equal in number up to one.

        Raises Misuse where there are fewer samples than ranks.
        """
        if num_data < self.size:
            raise Misuse(f"{num_data} sample(s) cannot be spread over {self.size} ranks; start at most {num_data}")
        return [slice(r * num_data // self.size, (r + 1) * num_data // self.size) for r in range(self.size)]

    def rows(self, num_data: int) -> slice:
        """Return this rank's samples among all `num_data`; raise Misuse where there are fewer samples than ranks."""
        return self.parts(num_data)[self.rank]

    def add(self, total: Tensor) -> Tensor:
        """Return the sum over ranks, in float64 and bitwise equal on all; `total` itself where there is one rank.

        Raises RuntimeError where a rank is gone, or silent for longer than the group's timeout.
        """
        if self.size == 1:
            return total
        # all_reduce adds in place, in the order of memory
        shared = total.to(torch.float64, copy=True, memory_format=torch.contiguous_format)
        dist.all_reduce(shared)
        return shared

    def largest(self, value: float, device: torch.device) -> float:
        """Return the largest value on any rank; `device` is one that the group's backend can use."""
        if self.size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=device)
        dist.all_reduce(shared, dist.ReduceOp.MAX)
        return float(shared)

    def first(self, found: str | None) -> str | None:
        """Return the text of the lowest rank that has one, cut after 4096 bytes; None where no rank has."""
        if self.size == 1:
            return found
        return next((words for words in self._gathered(found or "") if words), None)

    def agree(self, text: str) -> bool:
        """Return True where all ranks hold the same text of at most 4096 bytes."""
        return self.size == 1 or set(self._gathered(text)) == {text}

    def _gathered(self, text: str) -> list[str]:
        """Return each rank's text, sent as bytes: torch.distributed would send objects as pickles, which run code."""
        device = torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")
        encoded = text.encode()[:TEXT]
        mine = torch.zeros(TEXT, dtype=torch.uint8)
        mine[: len(encoded)] = torch.tensor(list(encoded), dtype=torch.uint8)
        everything = [torch.zeros(TEXT, dtype=torch.uint8, device=device) for _ in range(self.size)]
        dist.all_gather(everything, mine.to(device))
        return [bytes(row.cpu().tolist()).rstrip(b"\0").decode(errors="ignore") for row in everything]

    def refuse(self, what: str, advice: str = ADVICE) -> None:
        """Raise Misuse where the samples are spread over ranks, since `what` needs all of them in one place."""
        if self.size > 1:
            raise Misuse(f"{what} needs all samples in one place, and they are spread over {self.size} ranks; {advice}")
