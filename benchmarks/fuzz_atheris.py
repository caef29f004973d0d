"""Damage that follows the code (atheris and libFuzzer), to the files of `fuzz_targets`.

    pip install atheris
    python -m benchmarks.fuzz_atheris --seconds 600 --only session

Each kind of file gets a process and the same part of the time. What is no error of CoralBay ends the run with its
traceback; the file that caused it stays at the path that libFuzzer prints. `make fuzz ENGINE=atheris` runs it.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

_LARGEST_BYTES = 200_000


def fuzz(kind: str, folder: Path, seconds: int) -> None:
    """Damage and load one kind of file; libFuzzer ends the process."""
    import atheris

    # Modules that were imported before are not followed, so that this one imports none of them at the top.
    with atheris.instrument_imports(include=["coralbay_core", "coralbay_viz"]):
        from benchmarks.fuzz_targets import targets
        from coralbay_core.errors import CoralBayError
    path, content, load, _ = targets(folder)[kind]
    corpus = folder / "corpus"
    corpus.mkdir()
    (corpus / "sound").write_bytes(content)

    def read(damaged: bytes) -> None:
        path.write_bytes(damaged)
        try:
            load(path)
        except CoralBayError as error:
            if "\n" in str(error):
                raise AssertionError(f"more than one line: {error}") from error

    options = [f"-max_total_time={seconds}", f"-max_len={_LARGEST_BYTES}", f"-artifact_prefix={folder}/"]
    atheris.Setup([sys.argv[0], "-print_final_stats=1", *options, str(corpus)], read)
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=600, help="for all kinds together")
    parser.add_argument("--only", default="", help="part of the names of the kinds of files")
    parser.add_argument("--kind", help=argparse.SUPPRESS)  # of a process of this one
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="coralbay-fuzz-"))
    os.environ["CORALBAY_STATE"] = str(folder / "state")
    if options.kind is not None:
        fuzz(options.kind, folder, options.seconds)
        return
    from benchmarks.fuzz_targets import targets

    kinds = [kind for kind in targets(folder) if options.only in kind]
    for kind in kinds:
        print(f"{kind}:", flush=True)
        share = str(max(1, options.seconds // len(kinds)))
        subprocess.run([sys.executable, "-m", __spec__.name, "--kind", kind, "--seconds", share], check=True)


if __name__ == "__main__":
    main()
