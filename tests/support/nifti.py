"""Small NIfTI files, and what is checked of errors, for tests of readers."""

import nibabel as nib
import numpy as np

from coralbay_core.errors import CoralBayError
from coralbay_core.spatial import geometry

LPS_AFFINE = np.array([[-0.8, 0, 0, 120.5], [0, -0.7, 0, 90.25], [0, 0, 2.5, -300], [0, 0, 0, 1]])


def hu(shape, seed=0):
    return np.random.default_rng(seed).integers(-1024, 2000, shape).astype(np.int16)


def write_nifti(path, data, affine=LPS_AFFINE, **header):
    image = nib.Nifti1Image(data, affine)
    for name, value in header.items():
        image.header[name] = value
    nib.save(image, path)
    return path


def one_line(error) -> str:
    text = str(error.value)
    assert isinstance(error.value, CoralBayError)
    assert text.strip()
    assert "\n" not in text
    return text


def positions(affine, shape):
    return geometry.apply(affine, np.array(list(np.ndindex(*shape))))
