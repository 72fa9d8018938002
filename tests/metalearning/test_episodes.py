"""Drawn episodes are what was asked for."""

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metalearning.episodes import Episode, Examples, Misshapen, Sampling, Source, TooFewItems, draw, rotated_classes


def source(classes: int = 6, items: int = 12) -> Source:
    """Item i of class c is the pair (c, i)."""
    pairs = [(c, i) for i in range(items) for c in range(classes)]
    return Source(torch.tensor(pairs), torch.tensor([c for c, _ in pairs]), tuple("abcdefghij"[:classes]))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    way=st.tuples(st.integers(2, 4), st.integers(4, 9)),
    shot=st.tuples(st.integers(1, 2), st.integers(2, 5)),
    queries=st.integers(1, 7),
    imbalance=st.sampled_from([0.0, 0.5, 1.0]),
    unseen=st.sampled_from([0.0, 0.4]),
)
def test_an_episode_has_the_asked_shape_and_shares_no_item_between_support_and_query(
    seed: int, way: tuple[int, int], shot: tuple[int, int], queries: int, imbalance: float, unseen: float
) -> None:
    sampling = Sampling(way, shot, queries, imbalance=imbalance, unseen=unseen)
    episode = draw(source(), sampling, torch.Generator().manual_seed(seed))
    support = {tuple(pair) for pair in episode.support.inputs.tolist()}
    query = {tuple(pair) for pair in episode.query.inputs.tolist()}
    assert len(support) == len(episode.support.inputs)
    assert not support & query
    assert way[0] <= episode.outputs <= min(way[1], 6)
    assert Counter(episode.query.targets.tolist()) == dict.fromkeys(range(episode.outputs), queries)
    shots = Counter(episode.support.targets.tolist())
    assert shots
    assert all(shot[0] <= count <= shot[1] for count in shots.values())
    if not unseen:
        assert len(shots) == episode.outputs
    if not imbalance and not unseen:
        assert len(set(shots.values())) == 1
    # One class number stands for one class, in support and query alike.
    pairs = zip(
        [*episode.support.targets.tolist(), *episode.query.targets.tolist()],
        [c for c, _ in (*episode.support.inputs.tolist(), *episode.query.inputs.tolist())],
        strict=True,
    )
    assert len(set(pairs)) == episode.outputs


def test_the_same_generator_draws_the_same_episode() -> None:
    sampling = Sampling((3, 5), (1, 4), 3, imbalance=0.5, unseen=0.2, noise=0.1)
    first, again = (draw(source(), sampling, torch.Generator().manual_seed(9)) for _ in range(2))
    assert torch.equal(first.support.inputs, again.support.inputs)
    assert torch.equal(first.support.targets, again.support.targets)


def test_noise_changes_about_the_asked_share_of_support_labels_and_no_query_label() -> None:
    generator, wrong, labels = torch.Generator().manual_seed(0), 0, 0
    for _ in range(200):
        episode = draw(source(), Sampling((6, 6), (5, 5), 5, noise=0.3), generator)
        of_number = dict(zip(episode.query.targets.tolist(), episode.query.inputs[:, 0].tolist(), strict=True))
        truth = torch.tensor([of_number[number] for number in episode.support.targets.tolist()])
        wrong += int((truth != episode.support.inputs[:, 0]).sum())
        labels += len(truth)
    assert abs(wrong / labels - 0.3) < 0.03


def test_too_few_classes_or_items_are_refused_with_what_is_missing() -> None:
    with pytest.raises(TooFewItems, match="7 classes of 4 items, the source has 6"):
        draw(source(), Sampling((7, 9), (1, 1), 3), torch.Generator())
    with pytest.raises(TooFewItems, match="2 classes of 13 items, the source has 0"):
        draw(source(), Sampling((2, 2), (1, 3), 10), torch.Generator())


def test_an_episode_refuses_targets_that_do_not_fit() -> None:
    fine = Examples(torch.zeros(3, 2), torch.zeros(3).long())
    with pytest.raises(Misshapen, match="query"):
        Episode(fine, Examples(torch.zeros(3, 2), torch.zeros(4).long()), outputs=2)


def test_turned_classes_are_new_classes() -> None:
    images = torch.arange(8.0).reshape(2, 1, 2, 2)
    turned = rotated_classes(Source(images, torch.tensor([0, 1]), ("a", "b")))
    assert turned.labels.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert turned.names[3] == "b turned 90"
    assert turned.inputs[4, 0].tolist() == [[3.0, 2.0], [1.0, 0.0]]
