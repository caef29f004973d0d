"""Helpers for tests of the notebook app without a browser."""

import numpy as np

WAIT_S = 60


class Sent:
    """Messages of a view, as the page would get them."""

    def __init__(self, view):
        self.all = []
        send = view.send

        def keep(content, buffers=None):
            self.all.append((content, [memoryview(part).nbytes for part in buffers or ()]))
            send(content, buffers)

        view.send = keep

    def of(self, kind):
        return [content for content, _ in self.all if content["kind"] == kind]

    def cuts(self):
        """Role and view of each slice that was sent."""
        return [(head["role"], head["view"]) for content in self.of("slices") for head in content["cuts"]]

    @property
    def size(self):
        return sum(sum(sizes) for _, sizes in self.all)

    def clear(self):
        self.all.clear()


def settle(app):
    """Until all jobs have ended and what they changed was sent."""
    app.wait(timeout_s=WAIT_S)
    done = []
    app._courier.deliver(lambda: done.append(1))
    assert app._courier.wait(lambda: not done, WAIT_S)


def middle(app):
    grid = app.session.volume.grid
    return grid.to_world((np.array(grid.shape) - 1) / 2)
