"""State of `torch.export`."""

import torch

is_exporting = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)
"""Whether `torch.export` traces right now; torch 2.6 cannot tell that from compiling."""
