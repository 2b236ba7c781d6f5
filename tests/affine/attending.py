"""Small networks that act on tokens: attention, mixers, embeddings."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH, TOKENS, WORDS = 4, 3, 4


class Attention(nn.Module):
    """Softmax attention of one head, with separate projections."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        weights = (self.q(x) @ self.k(x).mT / WIDTH**0.5).softmax(-1)
        return self.o(weights @ self.v(x))


class Block(nn.Module):
    """A Transformer's block with the norms before its parts."""

    def __init__(self, activation: str):
        super().__init__()
        self.norm1, self.norm2, self.attend = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH), Attention()
        self.fc1, self.fc2, self.activation = nn.Linear(WIDTH, 3), nn.Linear(3, WIDTH), getattr(F, activation)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attend(self.norm1(x))
        return x + self.fc2(self.activation(self.fc1(self.norm2(x))))


class ViT(nn.Module):
    """Positions, two blocks, perhaps a norm, the mean over tokens, a linear head."""

    def __init__(self, activation: str, last_norm: bool):
        super().__init__()
        self.position = nn.Parameter(torch.zeros(TOKENS, WIDTH))
        self.blocks = nn.Sequential(Block(activation), Block(activation))
        self.norm = nn.LayerNorm(WIDTH) if last_norm else nn.Identity()
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(x + self.position)).mean(1))


class Plain(nn.Module):
    """Attention and a hidden layer without norms."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.attend = nn.Linear(WIDTH, WIDTH), Attention()
        self.f1, self.f2, self.head = nn.Linear(WIDTH, 3), nn.Linear(3, WIDTH), nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        x = x + self.attend(x)
        return self.head((x + self.f2(F.relu(self.f1(x)))).mean(1))


class Packed(nn.Module):
    """Attention whose projections to queries, keys and values are one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.attend, self.head = nn.MultiheadAttention(WIDTH, 2, batch_first=True), nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.attend(x, x, x, need_weights=False)[0].mean(1))


class Mixer(nn.Module):
    """Layers across tokens and across channels in turn."""

    def __init__(self, norm: bool):
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH) if norm else nn.Identity()
        self.across, self.along, self.head = nn.Linear(TOKENS, TOKENS), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x + F.relu(self.across(x.mT)).mT
        x = x + F.relu(self.along(x))
        return self.head(self.norm(x).mean(1))


class Tokens(nn.Module):
    """Words and positions, a hidden layer, one score for each word at each place; the head may be the embedding."""

    def __init__(self, tied: bool):
        super().__init__()
        self.words, self.position = nn.Embedding(WORDS, WIDTH), nn.Parameter(torch.zeros(TOKENS, WIDTH))
        self.hidden, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WORDS)
        if tied:
            self.head.weight = self.words.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.hidden(self.words(x) + self.position)))


class Bag(nn.Module):
    """The mean of the words' rows, a hidden layer, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.hidden, self.head = nn.EmbeddingBag(WORDS, WIDTH), nn.Linear(WIDTH, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.hidden(self.words(x))))
