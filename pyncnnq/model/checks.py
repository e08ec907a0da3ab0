"""What a model must be like before it is calibrated or quantized."""

from __future__ import annotations

from pyncnnq.errors import ModelError
from pyncnnq.model.model import Model


def needs_data(model: Model) -> bool:
    """Return whether calibrating the model takes calibration data: any layer has an activation row."""
    return any(layer.op.needs_activation_scale for layer in model.layers)


def require_float(model: Model) -> None:
    """Make sure that no layer is int8 yet: neither calibration nor quantization can start from such a model.

    Raises:
        ModelError: naming the first int8 layer.
    """
    for layer in model.layers:
        if layer.op.is_int8:
            raise ModelError(f"{model.param_path}: {layer} is int8 already; give the float model instead")


def require_sound_float(model: Model) -> None:
    """Make sure that a model is float, and that its weights are finite and of the sizes that its layers ask for.

    Raises:
        ModelError: naming the first layer that is not.
    """
    require_float(model)
    for layer in model.layers:
        layer.check_weights()
    model.check_finite()
