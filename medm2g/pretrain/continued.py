"""More public training of chosen groups: the reference `frechet_public_continued` that private training must beat.

The same stage, groups, optimizer, rate, steps and number of patients per step as a federated stage, on public patients
and without clipping or noise. What is gained here needed no hospital.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from medm2g.errors import InputInvalid
from medm2g.pretrain.loop import training_only
from medm2g.stages.stage import Stage


def continue_on_public(
    stage: Stage,
    pseudonyms: Sequence[str],
    *,
    groups: Sequence[str],
    number_of_steps: int,
    patients_per_step: int,
    learning_rate: float,
    betas: tuple[float, float] = (0.9, 0.99),
    final_learning_rate_fraction: float = 0.05,
    seed: int = 0,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Train `groups` of the stage's generator in place; on_step(done, total) after each step."""
    if not pseudonyms or not groups:
        raise InputInvalid("Continued public training needs at least one public patient and one group.")
    networks, random = stage.generator, torch.Generator().manual_seed(seed)
    parameters = [value for group in groups for value in networks.group(group).values()]
    optimizer = torch.optim.Adam(parameters, lr=learning_rate, betas=betas)
    with training_only(networks, parameters):
        for step in range(number_of_steps):
            gone = step / max(1, number_of_steps - 1)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * (1 - (1 - final_learning_rate_fraction) * gone)
            chosen = torch.randint(len(pseudonyms), (patients_per_step,), generator=random).tolist()
            terms = [stage.draw(pseudonyms[index], generator=random) for index in chosen]
            optimizer.zero_grad(set_to_none=True)
            stage.public_batch_loss({}, terms).backward()
            optimizer.step()
            on_step(step + 1, number_of_steps)
