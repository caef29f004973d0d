"""A pytest plugin that keeps `make test-fast` fast: a test that runs an encoder without the mark `forward` fails."""

import functools
import sys

import pytest

MARKS = ("forward", "gui", "slow")

_forwards = 0


def _count_calls(cls: type, name: str) -> None:
    method = getattr(cls, name)

    @functools.wraps(method)
    def counted(*args, **kwargs):
        global _forwards
        _forwards += 1
        return method(*args, **kwargs)

    setattr(cls, name, counted)


def pytest_collection_finish():
    """Count forward passes of encoders, unless nothing that was collected has loaded torch."""
    if "torch" in sys.modules:
        from coralbay_core.models.handcrafted import HandcraftedEncoder
        from coralbay_core.models.swin3d import Swin3D
        from tests.support.encoders import PoolingEncoder

        _count_calls(HandcraftedEncoder, "__call__")
        _count_calls(Swin3D, "forward")
        _count_calls(PoolingEncoder, "__call__")


def _guarded(item):
    before = _forwards
    result = yield
    if _forwards != before and not any(item.get_closest_marker(mark) for mark in MARKS):
        pytest.fail("this test runs an encoder: mark it, or its module, with `pytest.mark.forward`", pytrace=False)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    return (yield from _guarded(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    return (yield from _guarded(item))
