"""Samples spread over the ranks of a process group: who holds which, and how what they find is put together.

Every rank runs the same program on its own samples and meets the others in the calls below, in one order: whatever is
decided must be decided on numbers that all of them share. Each call uses the default group of torch.distributed. A rank
that raises by itself (out of memory, say) leaves the others waiting until that group's timeout: whoever makes the group
gives it a finite one, and ends all ranks when one of them fails.
"""

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from scalecurv.errors import Misuse

TEXT = 4096  # bytes of what ranks tell each other in words
ADVICE = "give --plan checkpoints or leave this measure out"


@dataclass(frozen=True)
class Shard:
    """Rank `rank` of `size`; the one of one holds everything, and needs no group."""

    rank: int = 0
    size: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.size:
            raise ValueError(f"rank {self.rank} of {self.size}: ranks count from 0")

    def parts(self, num_data: int) -> list[slice]:
        """The samples of every rank: consecutive, none empty, as many as the others or one more; raises Misuse."""
        if num_data < self.size:
            raise Misuse(f"{num_data} sample(s) cannot be spread over {self.size} ranks; start at most {num_data}")
        return [slice(r * num_data // self.size, (r + 1) * num_data // self.size) for r in range(self.size)]

    def rows(self, num_data: int) -> slice:
        """The samples of this rank among all `num_data`; raises Misuse where there are fewer samples than ranks."""
        return self.parts(num_data)[self.rank]

    def add(self, total: Tensor) -> Tensor:
        """The sum over ranks, in float64 and bitwise the same on all of them; `total` itself where there is one rank.

        Raises RuntimeError where a rank is gone, or silent for longer than the group's timeout.
        """
        if self.size == 1:
            return total
        shared = total.to(torch.float64, copy=True, memory_format=torch.contiguous_format)  # reduced in place, as laid
        dist.all_reduce(shared)
        return shared

    def largest(self, value: float, device: torch.device) -> float:
        """The largest value on any rank; it travels over `device`, that of the group's backend."""
        if self.size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=device)
        dist.all_reduce(shared, dist.ReduceOp.MAX)
        return float(shared)

    def first(self, found: str | None) -> str | None:
        """What the lowest rank found that found anything, cut after some thousand characters."""
        if self.size == 1:
            return found
        return next((words for words in self._gathered(found or "") if words), None)

    def agree(self, text: str) -> bool:
        """Whether all ranks say the same, not longer than some thousand characters."""
        return self.size == 1 or set(self._gathered(text)) == {text}

    def _gathered(self, text: str) -> list[str]:
        """What each rank says, as bytes: torch.distributed would send objects as pickles, which run code."""
        device = torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")
        said = text.encode()[:TEXT]
        mine = torch.zeros(TEXT, dtype=torch.uint8)
        mine[: len(said)] = torch.tensor(list(said), dtype=torch.uint8)
        everything = [torch.zeros(TEXT, dtype=torch.uint8, device=device) for _ in range(self.size)]
        dist.all_gather(everything, mine.to(device))
        return [bytes(row.cpu().tolist()).rstrip(b"\0").decode(errors="ignore") for row in everything]

    def refuse(self, what: str, advice: str = ADVICE) -> None:
        """Raise Misuse where the samples are spread: `what` needs all of them in one place."""
        if self.size > 1:
            raise Misuse(f"{what} needs all samples in one place, and they are spread over {self.size} ranks; {advice}")
