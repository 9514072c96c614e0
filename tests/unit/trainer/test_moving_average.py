from __future__ import annotations

import torch

from trainer.network.moving_average import MovingAverage
from trainer.network.network import Network, NetworkForm


def network() -> Network:
    torch.manual_seed(0)
    return Network(NetworkForm("test_byobnet", 32, (2, 2)))


def test_the_average_lies_between_the_old_and_the_new_weights() -> None:
    # Step 0: decay min(0.9, 1 / 10), so nine tenths of the way.
    trained = network()
    average = MovingAverage(trained, 0.9)
    before = trained.heads[0][1].bias.detach().clone()  # type: ignore[index]
    with torch.no_grad():
        trained.heads[0][1].bias += 1  # type: ignore[index]

    average.follow(trained, 0)

    torch.testing.assert_close(average.network.heads[0][1].bias, before + 0.9)  # type: ignore[index]


def test_an_old_average_follows_slowly() -> None:
    trained = network()
    average = MovingAverage(trained, 0.9)
    before = average.network.heads[0][1].bias.clone()  # type: ignore[index]
    with torch.no_grad():
        trained.heads[0][1].bias += 1  # type: ignore[index]

    average.follow(trained, 10_000)

    torch.testing.assert_close(average.network.heads[0][1].bias, before + 0.1)  # type: ignore[index]


def test_batch_statistics_are_averaged_too_and_counts_are_taken_over() -> None:
    trained = network()
    average = MovingAverage(trained, 0.9)

    trained.train()(torch.rand(4, 1, 32, 32))
    average.follow(trained, 10_000)

    ours, theirs = dict(average.network.named_buffers()), dict(trained.named_buffers())
    means = [name for name in ours if name.endswith("running_mean")]
    assert any((ours[name] != 0).any() for name in means)
    assert all((ours[name].abs() <= theirs[name].abs() + 1e-7).all() for name in means)
    counts = [name for name in ours if name.endswith("num_batches_tracked")]
    assert all(ours[name] == theirs[name] == 1 for name in counts)
