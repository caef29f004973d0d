"""Self-supervised pretraining of the encoder on unlabeled CT, from one core to many GPUs.

::

    for batch in batches:                                  # global and local crops, in random HU windows
        t = teacher(batch.globals)                         # maps at strides 2 ... 32, no gradient
        s = student(batch.globals), student(batch.locals)
        loss = sum(weight * term(s, t, batch))             # [objective.NAME] weight = ...
        step(student); teacher = moving average of student

What is shipped is the teacher's backbone. ``coralbay pretrain`` and ``coralbay prepare-data`` do it all; from Python::

    from coralbay_core.pretrain import pretrain, read_config

    pretrain(read_config("mini", ["data=STORE", "output=RUN"]))

A new term of the loss
----------------------
One file in ``loss_terms/`` and its class in ``loss_terms/__init__.py``. A `Term` has a name, frozen ``Settings`` (whose
numpy docstring is the reference) and the strides of the maps that it reads::

    @dataclass(frozen=True)
    class ClustersSettings(TermSettings):
        strides: tuple[int, ...] = (4, 8)
        count: int = 64
        points: int = 96
        def pairs(self): return self.points                # matched points per location, in batch.pairs
        def targets(self): return ("clusters",)            # label volumes, in batch.labels

    class Clusters(Term):
        name, Settings = "clusters", ClustersSettings
        def strides(self): return self.settings.strides
        def make_heads(self):                              # the teacher gets a copy that follows by moving average
            return nn.ModuleDict({str(s): nn.Linear(self.channels[s], self.settings.count) for s in self.strides()})
        def prepare(self, source):                         # once, before the run, in every process
            for volume in range(len(source.names)):
                hu = source.read(volume, np.zeros(3, int), np.array(source.shape(volume)))
                source.set_labels("clusters", volume, find_clusters(hu), stride=2)
        def forward(self, student, teacher, batch, info):
            wanted = batch.labels["clusters"].at(batch.pairs.positions)          # (B, N), -1 outside
            for view in (0, 1):
                maps = by_view(student.globals[8], batch.size)[view]           # (B, C, z, y, x)
                tokens = sample(maps, batch.pairs.points[:, view], batch.globals.side)   # (B, N, C)
                logits = student.heads["8"](tokens)
            ...
            return TermOutput(loss)                        # a mean over the batch: processes are averaged

- ``batch.globals.images`` is (B * views, 1, side, side, side), item by item; ``by_view`` puts views first.
  ``batch.globals.affines`` maps a view's voxels to the volume's; ``to_volume(affines, points)`` applies it to any
  points (``cell_centers(side, stride)`` for all cells of a stage), and ``labels.at(positions)`` reads labels there.
  ``batch.volumes`` are numbers of volumes in the source, for positives across patients.
- Settings may check themselves in ``problems(channels, views)``; what they return stops the run before its first batch.
- State (a center, a queue) is a buffer of the term: it is saved and resumed. Parameters belong into heads.
- Random numbers come from ``batch.rngs(salt)``, one generator per item, so that a resumed run and one on more processes
  draw the same.
- ``TermOutput.assigned`` and ``soft`` put a term's prototypes under the monitor's watch for collapse.
- ``batch.labels`` come from ``source.set_labels``. A store keeps them: look with ``source.has_labels`` first. Of
  several processes the first one prepares before the others, which must come to the same labels.
"""

from .config import PretrainConfig
from .config_loader import ConfigError, read_config
from .run import RunResult, pretrain

__all__ = ["ConfigError", "PretrainConfig", "RunResult", "pretrain", "read_config"]
