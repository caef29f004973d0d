"""Names of layers: each starts with the scan, so that layers of one scan are recognized as a group."""

from .layer_specs import LayerSpec

_LONGEST = 20
"""Characters of a scan's name in the names of its layers."""


def layer_name(scan_name: str, spec: LayerSpec) -> str:
    """Return the name of a layer of a scan: ``abdomen - similarity``; that of the scan itself is the scan's."""
    return scan_name if spec.role == "ct" else f"{shortened(scan_name)} - {spec.name}"


def shortened(name: str, longest: int = _LONGEST) -> str:
    """Return a name without its middle if it is long: series are often told apart by their last digits."""
    if len(name) <= longest:
        return name
    head = (longest - 1) // 2
    return f"{name[:head]}…{name[-(longest - 1 - head) :]}"
