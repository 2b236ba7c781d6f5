"""Labels of a causal language model, which it compares with the outputs one token before them."""

import re

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import scalecurv as sc
from scalecurv.errors import Misuse

SHIFTED = "give labels shifted by one: torch.cat([y[:, 1:], torch.full_like(y[:, :1], -100)], 1)"


class LanguageModel(nn.Module):
    """A model that returns its own loss beside the logits where it is handed labels; `shift` is 1 in a causal one."""

    def __init__(self, shift: int):
        super().__init__()
        self.tokens, self.head, self.shift = nn.Embedding(5, 3), nn.Linear(3, 5), shift
        with torch.no_grad():
            for i, parameter in enumerate(self.parameters()):
                parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(i)))

    def forward(self, input_ids: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        logits = self.head(torch.tanh(self.tokens(input_ids)))
        if labels is None:
            return {"logits": logits}
        before, after = logits[:, : logits.shape[1] - self.shift], labels[:, self.shift :]
        return {"loss": functional.cross_entropy(before.flatten(0, 1), after.flatten()), "logits": logits}


IDS = torch.randint(0, 5, (6, 4), generator=torch.Generator().manual_seed(7))


def test_unshifted_labels_of_a_causal_model_are_refused_and_the_advice_gives_its_loss() -> None:
    model = LanguageModel(1).double()
    with pytest.raises(Misuse, match=re.escape(SHIFTED)):
        sc.Problem(model, {"input_ids": IDS, "labels": IDS})
    y = IDS
    advised = eval(SHIFTED.partition(": ")[2], {"torch": torch, "y": y})
    found = sc.analyze(sc.Problem(model, {"input_ids": IDS, "labels": advised}), ["loss"])
    assert found["loss"].value == pytest.approx(model(IDS, IDS)["loss"].item(), rel=1e-12)


def test_labels_that_the_model_takes_as_they_are_pass() -> None:
    model = LanguageModel(0).double()
    found = sc.analyze(sc.Problem(model, {"input_ids": IDS, "labels": IDS}), ["loss"])
    assert found["loss"].value == pytest.approx(model(IDS, IDS)["loss"].item(), rel=1e-12)


def test_a_loss_of_ones_own_may_shift_itself() -> None:
    def shifted(f: Tensor, y: Tensor) -> Tensor:
        return functional.cross_entropy(f[:, :-1].transpose(1, 2), y[:, 1:], reduction="none").mean(1)

    model = LanguageModel(1).double()
    found = sc.analyze(sc.Problem(model, {"input_ids": IDS, "labels": IDS}, shifted), ["loss"])
    assert found["loss"].value == pytest.approx(model(IDS, IDS)["loss"].item(), rel=1e-12)


class LastToken(LanguageModel):
    """A model that puts out the last token only, unless it is handed targets, and then its loss too."""

    def forward(self, idx: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        logits = self.head(torch.tanh(self.tokens(idx)))
        if targets is None:
            return logits[:, [-1]], None
        return logits, functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def test_a_model_that_needs_targets_for_all_its_outputs_is_handed_them_by_the_advice() -> None:
    model, y = LastToken(0).double(), IDS.flip(1)
    with pytest.raises(Misuse, match=re.escape("forward takes targets too, hand them over as a second input: ((x, y)")):
        sc.Problem(model, (IDS, y))
    found = sc.analyze(sc.Problem(model, ((IDS, y), y)), ["loss"])
    assert found["loss"].value == pytest.approx(model(IDS, y)[1].item(), rel=1e-12)


def test_a_refusal_that_targets_would_not_mend_does_not_advise_them() -> None:
    y = IDS.repeat(1, 2)[:, :5]  # as many positions as classes
    with pytest.raises(Misuse, match=r"axis=1 or axis=-1, as in cross_entropy\(axis=1\)$"):
        sc.Problem(LanguageModel(0).double(), (y, y))
