"""Names of structures: what data sets call them, and the one name that evaluation uses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coralbay_core.evaluate.layouts import AMOS, BTCV
from coralbay_core.evaluate.names import SYNONYMS, WHOLES, canonical, is_lesion, shared


@pytest.mark.parametrize(
    ("spoken", "name"),
    [
        ("Esophagus", "esophagus"),
        ("oesophagus", "esophagus"),
        ("Spinal cord", "spinal_cord"),
        ("SpinalCord", "spinal_cord"),
        ("Lung R", "lung_right"),
        ("right lung", "lung_right"),
        ("lung_right", "lung_right"),
        ("parotid gland left", "parotid_gland_left"),
        ("Parotid_L", "parotid_gland_left"),
        ("left kidney", "kidney_left"),
        ("gall bladder", "gallbladder"),
        ("postcava", "inferior_vena_cava"),
        ("arota", "aorta"),
        ("bladder", "urinary_bladder"),
        ("prostate/uterus", "prostate_uterus"),
        ("rib_left_7", "rib_left_7"),
        ("heart_atrium_left", "heart_atrium_left"),
        ("vertebrae_L2", "vertebrae_l2"),
        ("right adrenal gland", "adrenal_gland_right"),
    ],
)
def test_synonyms(spoken, name):
    assert canonical(spoken) == name


@given(st.sampled_from([*SYNONYMS.values(), *WHOLES, *BTCV, *AMOS]))
def test_a_canonical_name_stays_what_it_is(name):
    assert canonical(name) == name


@pytest.mark.parametrize(
    "name", ["GTV-1", "gross tumour volume (soft-tissue sarcoma)", "lung tumors", "kidney_cyst_left"]
)
def test_lesions(name):
    assert is_lesion(name)
    assert not any(map(is_lesion, (*BTCV, *AMOS)))


def test_wholes_are_shared_with_their_parts():
    lobes = {"lung_upper_lobe_left", "lung_lower_lobe_left", "spinal_cord"}
    assert shared(lobes, {"lung_left", "spinal_cord"}) == ["lung_left", "spinal_cord"]
    assert shared(lobes, lobes) == sorted(lobes)
    assert shared({"liver"}, {"spleen"}) == []
