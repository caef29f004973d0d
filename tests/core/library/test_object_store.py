"""Vectors of a library in an object store: the example of docs/how-to/search.md, on a local server that speaks S3."""

import pytest

from coralbay_core import load_encoder
from coralbay_core.extraction.cache import FeatureStore
from coralbay_core.extraction.pipeline import features_for
from coralbay_core.io import load_volume, save_map
from coralbay_core.library import Library, search_library
from coralbay_core.phantom import make_phantom
from coralbay_core.similarity import make_query

pytest.importorskip("lancedb", reason="pip install 'coralbay[library]'")
# Not in the extra `dev`: it brings 60 packages, and is used here alone.
moto = pytest.importorskip("moto.server", reason="pip install 'moto[server]'")

pytestmark = [pytest.mark.forward, pytest.mark.slow]


@pytest.fixture
def bucket(monkeypatch):
    """A bucket of a local server, found by the variables that users set."""
    import boto3

    server = moto.ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT": f"http://{host}:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3", endpoint_url=f"http://{host}:{port}").create_bucket(Bucket="hospital")
    yield "hospital"
    server.stop()


def test_two_machines_share_the_vectors(bucket, tmp_path):
    encoder, place = load_encoder("hu-context"), f"s3://{bucket}/vectors"
    store = FeatureStore(tmp_path / "features")
    made = [make_phantom(seed, 5.0) for seed in range(2)]
    paths = [save_map(tmp_path / f"{seed}.nii.gz", one.volume.data, one.volume) for seed, one in enumerate(made)]
    library = Library(tmp_path / "lib", store)
    added = [library.add(path, encoder, vectors=place).entry for path in paths]
    assert not (tmp_path / "lib" / "vectors").exists()
    elsewhere = Library(tmp_path / "lib", store)  # with the folder, as another machine mounts it
    assert len(elsewhere.vectors) == sum(entry.tokens for entry in added)
    features = features_for(load_volume(paths[0]), encoder, store=store)
    query = make_query(features, [made[0].landmarks["liver_right_lobe"]])
    found = search_library(elsewhere, query, lambda: encoder, exclude=added[0].scan)
    assert {hit.scan.scan for hit in found.hits} == {added[1].scan}
    library.remove(added[1].name)
    assert len(elsewhere.vectors) == added[0].tokens
