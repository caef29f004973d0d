"""CoralBay encoders in kaiko's eva (https://github.com/kaiko-ai/eva), named in its YAML by ``class_path``.

`encoder` does not need eva. `parts`, `transforms` and `datasets` extend classes of eva and are imported only by eva's
own command; `tasks` lists the datasets for which there are configurations. docs/how-to/eva.md describes the steps to a
leaderboard row.
"""

from typing import TYPE_CHECKING, Any

from .tasks import TASKS, EvaTask, config_path

if TYPE_CHECKING:
    from .encoder import CoralBayEncoder

__all__ = ["TASKS", "CoralBayEncoder", "EvaTask", "config_path"]


def __getattr__(name: str) -> Any:
    # Imported late, so that listing tasks does not wait for torch.
    if name != "CoralBayEncoder":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .encoder import CoralBayEncoder

    return CoralBayEncoder
