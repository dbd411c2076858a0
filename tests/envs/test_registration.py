import subprocess
import sys


def test_importing_clrl_registers_its_environments_without_torch_or_meta_world() -> None:
    code = (
        "import sys, gymnasium, clrl\n"
        "ids = {i for i in gymnasium.registry if i.startswith('clrl/')}\n"
        "assert ids == {'clrl/CW10-v0', 'clrl/CW20-v0', 'clrl/MetaWorld-v0'}, ids\n"
        "assert not {'torch', 'metaworld', 'mujoco'} & set(sys.modules)\n"
        "import clrl.envs.metaworld.world, clrl.envs.sequence\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
