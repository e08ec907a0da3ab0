"""An int8 model that was made here, and what it holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pyncnnq.errors import ModelError
from pyncnnq.files import check_replaced
from pyncnnq.model import Layer, Model
from pyncnnq.model.pair import MANIFEST
from pyncnnq.model.text import encode
from pyncnnq.notebook import as_html
from pyncnnq.quantization.manifest import Manifest, encode_manifest, manifest_path, read_manifest
from pyncnnq.quantization.summary import Summary


class QuantizedModel(Model):
    """An int8 model, ready to be saved.

    Attributes:
        summary: which layers are int8, which are not and why.
        manifest: what the model holds; `save` writes it as NAME.json beside NAME.param.
    """

    def __init__(
        self, model: Model, layers: Sequence[Layer], summary: Summary, manifest: Manifest | None = None
    ) -> None:
        """Take the int8 layers that were made of a float model; without a manifest all blobs are stored plainly."""
        super().__init__(layers, header=model._header, trailer=model._trailer, custom_layers=model.custom_layers)
        self.summary = summary
        self.manifest = manifest or Manifest()

    def contents(self, param_path: Path, bin_path: Path) -> dict[Path, bytes]:
        """Return what to write into the two files of the model, and into its manifest.

        Raises:
            ModelError: see `Model.contents`; or the manifest would take the place of one of them.
            PyncnnqError: the manifest would take the place of a file that is none.
        """
        contents = super().contents(param_path, bin_path)
        path = manifest_path(param_path)
        if path in contents:
            raise ModelError(f"{path}: is where the manifest of the model goes; name the .param or .bin otherwise")
        check_replaced(path, MANIFEST)
        return {**contents, path: encode_manifest(self.manifest, contents[param_path], contents[bin_path])}

    def _repr_html_(self) -> str:
        summary = self.summary
        title = f"{len(summary.quantized)} layers int8, {len(summary.kept_in_float)} in float"
        return as_html(
            title, ("layer", "type", "written as"), [(one.name, one.type, one.outcome) for one in summary.layers]
        )


def manifest_of(model: Model) -> Manifest | None:
    """Return what an int8 model holds.

    A model that was loaded has a manifest if NAME.json beside its `.param` belongs to it, and it was not edited since.

    Returns:
        None if that is not known.

    Raises:
        ModelError: the manifest cannot be read, is damaged, or was written by a newer version.
    """
    if isinstance(model, QuantizedModel):
        return model.manifest
    if model.param_path is None or model.bin_path is None:
        return None
    return read_manifest(manifest_path(model.param_path), encode(model.param_text()), model.bin_bytes())
