"""Manifests that are deep, long or of odd numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyncnnq.errors import ModelError
from pyncnnq.quantization.manifest import read_manifest

HEAD = '{"pyncnnq_manifest": 1, "x": '


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "[" * 100_000, "nested too deeply"),
        (HEAD + "[" * 200 + "]" * 200 + "}", "nested too deeply"),
        (HEAD + '{"a":' * 200 + "1" + "}" * 200 + "}", "nested too deeply"),
        (HEAD + "9" * 5000 + "}", "Exceeds the limit"),
        (HEAD + "1e999}", "'1e999' is not a finite number"),
        (HEAD + "-Infinity}", "'-Infinity' is not a finite number"),
        (HEAD + '"' + "x" * 2**24 + '"}', "it is larger than any"),
        ('{"pyncnnq_manifest": ' + "9" * 4000 + "}", r"is a manifest of format 9{60}\.\.\.,"),
        ('{"pyncnnq_manifest": "' + "9" * 4000 + '"}', r"pyncnnq_manifest is '9{59}\.\.\., expected a number"),
    ],
    ids=lambda text: text[:40],
)
def test_what_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text(text)
    with pytest.raises(ModelError, match=message) as error:
        read_manifest(path, b"", b"")
    assert len(str(error.value)) < 400


def test_a_large_file_of_somebody_else(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text("[" * 2**20)
    assert read_manifest(path, b"", b"") is None
