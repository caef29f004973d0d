"""Our encoders in kaiko's eva (https://github.com/kaiko-ai/eva), named in its YAML by ``class_path``.

`encoder` needs no eva. `parts`, `transforms` and `datasets` extend classes of eva and are imported by eva's own command
alone; `tasks` says which of its datasets there are configurations for. The way to a leaderboard row is docs/eva.md.
"""

from .encoder import CoralBayEncoder
from .tasks import TASKS, EvaTask, config_path

__all__ = ["TASKS", "CoralBayEncoder", "EvaTask", "config_path"]
