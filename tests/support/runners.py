"""Runners whose jobs end when a test lets them."""

from dataclasses import replace

from coralbay_viz.jobs import InlineRunner


class HoldingRunner(InlineRunner):
    """A runner that works at once, but holds jobs of some kind until `let_go`."""

    def __init__(self):
        super().__init__()
        self.held, self._waiting = "", []

    def submit(self, task):
        if not self.held or task.key.kind != self.held:
            return super().submit(task)
        job = self._jobs.start(task.key)
        task.started(job)
        self._waiting.append((job, task))
        return job

    def let_go(self):
        """Finish what waits, if it is still wanted, as its result arrives."""
        self.held = ""
        for job, task in self._waiting:
            if self._jobs.finish(job):
                super().submit(replace(task, started=lambda _: None))
            job.finished.emit()
        self._waiting.clear()
