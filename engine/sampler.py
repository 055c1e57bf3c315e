"""From a row of logits to a token: bias, penalty and mask of one candidate, then the sampling operation."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from hashlib import blake2b

import torch
from torch import Tensor

from famulus.engine.constraints import Mask
from famulus.engine.errors import InvalidConstraint
from famulus.engine.protocol import Sampling
from famulus.kernels.sample import Choice, sample


class Sampler:
    """The state of one candidate: its noise, what it has seen, and its mask.

    A candidate's noise comes from its own seed, so its tokens do not depend on who else is in the batch.
    """

    def __init__(self, sampling: Sampling, index: int, prompt: Sequence[int], mask: Mask | None) -> None:
        self.mask = mask
        self._sampling = sampling
        seed = secrets.randbits(62) if sampling.seed is None else sampling.seed
        self._seed, self._place = seed + index, 0
        self._penalised = sampling.repetition_penalty != 1
        self._seen = set(prompt) if self._penalised else set()
        self._bias = sampling.logit_bias

    @property
    def plain(self) -> bool:
        """Whether nothing is applied to a row before the choice."""
        return self.mask is None and not self._bias and not self._penalised

    @property
    def finished(self) -> bool:
        """Whether its mask says that the answer is complete."""
        return self.mask is not None and self.mask.finished

    def adjusted(self, row: Tensor) -> Tensor:
        """``row`` [vocabulary] f32 with penalty, bias and mask applied, in a copy on the same device."""
        row = row.clone()
        if self._penalised and self._seen:
            ids = torch.tensor(sorted(self._seen), device=row.device)
            values, penalty = row[ids], self._sampling.repetition_penalty
            row[ids] = torch.where(values > 0, values / penalty, values * penalty)
        bias = {token: added for token, added in self._bias.items() if 0 <= token < row.numel()}
        if bias:
            row[torch.tensor(list(bias), device=row.device)] += torch.tensor(list(bias.values()), device=row.device)
        allowed = None if self.mask is None else self.mask.allowed()
        if allowed is not None:
            barred = ~torch.from_numpy(allowed).to(row.device)
            row[: len(allowed)].masked_fill_(barred, float("-inf"))
            row[len(allowed) :] = float("-inf")
        return row

    def choice(self, ahead: int = 0) -> Choice:
        """The parameters of the draw ``ahead`` tokens from here: each place has noise of its own."""
        s = self._sampling
        if s.temperature == 0:
            return Choice()
        digest = blake2b(b"%d %d" % (self._seed, self._place + ahead), digest_size=8).digest()
        return Choice(s.temperature, s.top_k, s.top_p, s.min_p, int.from_bytes(digest, "little"))

    def accept(self, token: int) -> int:
        """``token`` was chosen; it is given back."""
        self._place += 1
        if self._penalised:
            self._seen.add(token)
        if self.mask is not None:
            self.mask.advance(token)
            if self.mask.allowed() is None:
                self.mask = None  # healed, or the name is written: from here on anything goes
        return token


def next_tokens(logits: Tensor, samplers: Sequence[Sampler]) -> list[int | InvalidConstraint]:
    """``logits`` [rows, vocabulary] f32, one sampler a row → token ids, which the samplers have accepted.

    Where a grammar became too complex for its compiler, the error stands in the place of the token.
    """
    rows = list(logits)
    failed: dict[int, InvalidConstraint] = {}
    for i, sampler in enumerate(samplers):
        try:
            rows[i] = rows[i] if sampler.plain else sampler.adjusted(rows[i])
        except InvalidConstraint as error:
            failed[i] = error
    if not all(s.plain for s in samplers):
        logits = torch.stack(rows)
    found = sample(logits, [s.choice() for s in samplers]).tolist()
    accepted: list[int | InvalidConstraint] = []
    for i, (token, sampler) in enumerate(zip(found, samplers, strict=True)):
        try:
            accepted.append(failed[i] if i in failed else sampler.accept(token))
        except InvalidConstraint as error:
            accepted.append(error)
    return accepted


def continuations(
    logits: Tensor, samplers: Sequence[Sampler], drafts: Sequence[Sequence[int]]
) -> list[list[int | InvalidConstraint]]:
    """What every sampler's candidate goes on with: its draft as far as that is what it chooses, and one token more.

    ``logits`` [rows, vocabulary]: for each sampler one row, and one behind every token of its draft. Tokens are drawn
    as if there were no draft, with the noise, penalty and mask of their place: the answer is the same with and without.
    Where it is sampled, a drafted token is so kept with its own probability, and one that replaces it drawn from the
    rest: speculative sampling (Leviathan et al. 2023) of drafts that are certain. An error stands in its token's place.

    Plain rows are chosen together. Others place by place: what is applied to a row depends on the token before it.
    """
    starts = [sum(1 + len(d) for d in drafts[:i]) for i in range(len(drafts))]
    found: list[list[int | InvalidConstraint]] = [[] for _ in samplers]
    plain = [i for i, s in enumerate(samplers) if s.plain]
    if plain:
        rows = [starts[i] + ahead for i in plain for ahead in range(1 + len(drafts[i]))]
        choices = [samplers[i].choice(ahead) for i in plain for ahead in range(1 + len(drafts[i]))]
        chosen = iter(sample(logits if len(rows) == len(logits) else logits[rows], choices).tolist())
        for i in plain:
            said = _agreed([next(chosen) for _ in range(1 + len(drafts[i]))], drafts[i])
            found[i] = [samplers[i].accept(token) for token in said]
    going = [i for i, s in enumerate(samplers) if not s.plain]
    place = 0
    while going:
        rows = [starts[i] + place for i in going]
        for i, token in zip(going, next_tokens(logits[rows], [samplers[i] for i in going]), strict=True):
            found[i].append(token)
        going = [i for i in going if found[i] == [*drafts[i][: place + 1]] and not samplers[i].finished]
        place += 1
    return found


def _agreed(chosen: Sequence[int], draft: Sequence[int]) -> Sequence[int]:
    """``chosen`` up to the first token that is not the draft's, that one included."""
    same = next((i for i, (a, b) in enumerate(zip(chosen, draft, strict=False)) if a != b), len(draft))
    return chosen[: same + 1]


def log_probabilities(logits: Tensor, tokens: Sequence[int], top: int) -> list[tuple[float, list[tuple[int, float]]]]:
    """For each row [vocabulary] and the token that follows it: its natural-log probability, and the ``top`` likeliest
    tokens with theirs. Of the model's own distribution, before bias, penalty, temperature and masks."""
    scores = logits.float().log_softmax(-1)
    chosen = scores.gather(1, torch.tensor(tokens, device=scores.device)[:, None])[:, 0].tolist()
    if not top:
        return [(value, []) for value in chosen]
    values, ids = scores.topk(top, dim=-1)
    return [
        (value, list(zip(row_ids, row_values, strict=True)))
        for value, row_ids, row_values in zip(chosen, ids.tolist(), values.tolist(), strict=True)
    ]
