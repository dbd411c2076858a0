"""Every learner says of a batch what its network predicts: a Gaussian, or classes."""

from clrl.agents import randomness
from clrl.agents.classifier import Classifier
from clrl.agents.networks.distributions import Categorical, Gaussian
from clrl.envs.streams import ToyStream
from tests.agents import tiny


def test_only_sac_squashes_its_gaussian() -> None:
    agents = tiny.sac(seeds=(0, 1)), tiny.ppo(seeds=(0, 1))
    for agent, squash in zip(agents, (True, False), strict=True):
        agent.learn(50)
        found = agent.output_distributions(agent.sample(4, randomness.METHOD))
        assert isinstance(found, Gaussian) and found.squash == squash
        assert found.mean.shape == found.std.shape == (2, 4, tiny.ACTION_DIM)
        assert bool((found.std > 0).all())


def test_a_classifier_predicts_classes() -> None:
    learner = Classifier(ToyStream(n_tasks=2), seeds=(0, 1), hidden_sizes=(8,))
    found = learner.output_distributions(learner.sample(4, randomness.METHOD))
    assert isinstance(found, Categorical)
    assert found.logits.shape == (2, 4, ToyStream.classes)
