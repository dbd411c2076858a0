from metaworld.env_dict import ALL_V3_ENVIRONMENTS

from clrl.envs.metaworld.tasks import CW10, METAWORLD_TASKS, SEQUENCES


def test_the_fifty_names_are_meta_worlds_own() -> None:
    assert METAWORLD_TASKS == tuple(sorted(ALL_V3_ENVIRONMENTS))
    assert len(METAWORLD_TASKS) == 50


def test_cw20_is_cw10_twice() -> None:
    assert len(set(CW10)) == 10 and set(CW10) <= set(METAWORLD_TASKS)
    assert SEQUENCES == {"CW10": CW10, "CW20": CW10 + CW10}
