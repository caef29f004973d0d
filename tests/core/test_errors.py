"""What an error says, where there is room and where there is little."""

import pickle
from pathlib import Path

from coralbay_core.errors import InputError


def test_a_notification_names_the_file_and_leaves_room_for_what_to_do():
    error = InputError(
        "truncated file", where=Path("a/long/way/down/ct.nii.gz"), found=3, expected=4, hint="copy it\nagain"
    )
    assert str(error) == f"truncated file - {Path('a/long/way/down/ct.nii.gz')} - found 3 vs expected 4 - copy it again"
    assert error.brief == "truncated file - ct.nii.gz - found 3 vs expected 4 - copy it again"
    assert InputError("wrong", where="--top").brief == "wrong - --top"
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == again.brief == str(error)
