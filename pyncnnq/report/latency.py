"""A profile on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from pyncnnq.latency.profile import LayerTime, Profile
from pyncnnq.model.ops.shape import spell
from pyncnnq.report.tables import print_table
from pyncnnq.report.terminal import say

_SHOWN = 12
"""Layers that are slower in int8, at most."""


def print_profile(profile: Profile) -> None:
    """Print where the time goes by layer type, the layers that int8 makes slower, and whole models side by side."""
    _print_types(profile)
    _print_slower(profile.slower)
    _print_wholes(profile)
    shares = ", ".join(f"{100 * share:.0f} % of the {name} model" for name, share in profile.explained.items())
    say(f"{profile}, ncnn {profile.ncnn}; the layers' times explain {shares}")
    if profile.chosen is not None:
        count = profile.chosen.in_float
        say(f"of {len(profile.costs)} layers that can be int8, {count} make the model faster in float")


def _print_types(profile: Profile) -> None:
    columns = ("layer type", "layers", "float ms", "int8 ms", "chained ms", "slower in int8")
    rows = [_of_type(kind, [layer for layer in profile.layers if layer.type == kind]) for kind in _types(profile)]
    print_table(columns, rows, numeric=columns[1:])


def _print_slower(slower: Sequence[LayerTime]) -> None:
    columns = ("slower in int8", "type", "writes", "float ms", "int8 ms", "chained ms")
    rows = [
        (layer.name, layer.type, spell(layer.shape), *map(_ms, (layer.float_ms, layer.int8_ms, layer.chained_ms)))
        for layer in slower[:_SHOWN]
    ]
    if rows:
        print_table(columns, rows, numeric=columns[3:])
    if len(slower) > _SHOWN:
        say(f"and {len(slower) - _SHOWN} more")


def _print_wholes(profile: Profile) -> None:
    columns = ("whole model", "in float", "ms", "against float", "predicted ms")
    shown = [whole for whole in profile.wholes if whole.name != "mixed" or whole is profile.chosen]
    rows = [
        (
            f"{whole.name}{', the fastest' * (whole is profile.chosen)}",
            str(whole.in_float),
            _ms(whole.ms),
            f"{profile.wholes[0].ms / whole.ms:.2f}x",
            _ms(whole.predicted_ms),
        )
        for whole in shown
    ]
    print_table(columns, rows, numeric=columns[1:])


def _types(profile: Profile) -> list[str]:
    """Return the layer types, the one that takes longest first."""
    times: dict[str, float] = {}
    for layer in profile.layers:
        times[layer.type] = times.get(layer.type, 0.0) + layer.float_ms
    return sorted(times, key=lambda kind: -times[kind])


def _of_type(kind: str, layers: Sequence[LayerTime]) -> tuple[str, ...]:
    int8 = [layer for layer in layers if layer.int8_ms is not None]
    slower = sum(1 for layer in int8 if layer.chained_ms is not None and layer.chained_ms > layer.float_ms)
    return (
        kind,
        str(len(layers)),
        _ms(sum(layer.float_ms for layer in layers)),
        _ms(sum(layer.int8_ms or 0.0 for layer in int8)) if int8 else "",
        _ms(sum(layer.chained_ms or 0.0 for layer in int8)) if int8 else "",
        f"{slower} of {len(int8)}" if int8 else "",
    )


def _ms(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{milliseconds:.2f}"
