"""Files as eva writes them at the end of a run, without eva."""

import json

import yaml

ENCODER = {"class_path": "coralbay_core.integrations.eva.CoralBayEncoder", "init_args": {"model": "coralbay-mini"}}
THEIRS = {"class_path": "eva.vision.models.ModelFromRegistry", "init_args": {"model_name": "radiology/voco_b"}}


def of(model):
    """Our encoder of a model."""
    return ENCODER | {"init_args": {"model": model}}


def write_run(folder, *, encoder=ENCODER, dataset="eva.vision.datasets.BTCV", scores=(0.5, 0.7), test=False, **more):
    """A results file as eva writes it, with its configuration beside it."""
    folder.mkdir(parents=True)
    mean = sum(scores) / len(scores)
    numbers = {"mean": mean, "stdev": 0.1, "values": list(scores)}
    measured = {
        f"val/{more.get('metric', 'DiceScore')}": numbers,
        "val/AverageLoss": numbers,
        "val/DiceScore_1": numbers,
    }
    tested = [{key.replace("val/", "test/"): numbers for key in measured}] if test else []
    (folder / "results.json").write_text(json.dumps({"metrics": {"val": [measured], "test": tested}}))
    callbacks = [{"class_path": "x", "init_args": {"backbone": more.get("backbone")}}]
    config = {
        "trainer": {"init_args": {"callbacks": callbacks, **more.get("trainer", {})}},
        "model": {"init_args": {"encoder": encoder, **more.get("module", {})}},
        "data": {"init_args": {"datasets": {"val": {"class_path": dataset}, **more.get("datasets", {})}}},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder / "results.json"
