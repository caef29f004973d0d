"""Window attention with a relative position bias, parameter names as in MONAI."""

import math
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .tracing import is_exporting
from .windows import WindowPlan, from_windows, to_windows


@lru_cache(maxsize=16)
def relative_position_index(window: int) -> Tensor:
    """Row of the bias table for each pair of tokens in a cubic window, int64 (window**3, window**3)."""
    with torch.inference_mode(False):
        axis = torch.arange(window)
        position = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).flatten(1)
        difference = position[:, :, None] - position[:, None, :] + window - 1
        span = 2 * window - 1
        return (difference[0] * span + difference[1]) * span + difference[2]


class WindowAttention(nn.Module):
    """Multi-head attention inside windows.

    Parameters
    ----------
    channels, heads, window : int
        `window` is the nominal side in tokens: it sizes the bias table.
    """

    def __init__(self, channels: int, heads: int, window: int):
        super().__init__()
        self.heads = heads
        self.window = window
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 3, heads))
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self._cache: dict[tuple, Tensor] = {}
        self._cache_state: tuple | None = None
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def forward(self, rows: Tensor, plan: WindowPlan) -> Tensor:
        """Attend among normalized rows (batch * grid, channels).

        A padded token is a zero row *after* the norm, so its key and value are the bias of `qkv`, and it is attended to
        like any other: the published weights were trained so.
        """
        rows = torch.cat([rows, rows.new_zeros(1, rows.shape[1])])
        slots = self._split(to_windows(self.qkv(rows), plan), plan)
        groups = [self._attend(slots[first:last], plan, mask) for first, last, mask in plan.groups]
        attended = groups[0] if len(groups) == 1 else torch.cat(groups)
        return self.proj(from_windows(attended.reshape(-1, self.qkv.in_features), plan))

    def attend_in_chunks(self, rows: Tensor, plan: WindowPlan, windows: int) -> Tensor:
        """Attention before `proj`, for inference: some windows at a time, so that intermediate results stay in cache.

        Parameters
        ----------
        rows : (batch * grid + 1, channels) Tensor
            Normalized; the last row is zero.
        plan : WindowPlan
        windows : int
            Number of windows per chunk.

        Returns
        -------
        (windows * slots, channels) Tensor
        """
        attended = rows.new_empty(len(plan.gather), rows.shape[1])
        for group, end, mask in plan.groups:
            for first in range(group, end, windows):
                part = slice(first * plan.slots, min(first + windows, end) * plan.slots)
                qkv = self._split(self.qkv(rows.index_select(0, plan.gather[part])), plan)
                attended[part] = self._attend(qkv, plan, mask).reshape(-1, rows.shape[1])
        return attended

    def _split(self, qkv: Tensor, plan: WindowPlan) -> Tensor:
        return qkv.view(-1, plan.slots, 3, self.heads, self.qkv.in_features // self.heads)

    def _attend(self, qkv: Tensor, plan: WindowPlan, mask: Tensor | None) -> Tensor:
        """One group of windows, (windows, slots, 3, heads, dim) to (windows, slots, heads, dim)."""
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        if torch.is_grad_enabled() and self.relative_position_bias_table.requires_grad:
            bias = self._bias(plan, mask, query.dtype)
            if query.device.type == "cpu":
                # With a bias that needs a gradient torch's fused kernel falls back to a path slower than this one.
                scores = query * query.shape[-1] ** -0.5 @ key.transpose(-2, -1)
                return ((scores + bias).softmax(-1).to(value.dtype) @ value).transpose(1, 2)
        else:
            bias = self._cached_bias(plan, mask, query.dtype)
        return F.scaled_dot_product_attention(query, key, value, attn_mask=bias).transpose(1, 2)

    def _bias(self, plan: WindowPlan, mask: Tensor | None, dtype: torch.dtype) -> Tensor:
        """Position bias plus mask, (1, heads, slots, slots); minus infinity for keys beyond the window's tokens.

        A window that was shrunk to its grid uses the corner of the *nominal* index. Geometrically that is wrong unless
        it was shrunk along the first axis alone, but MONAI does so, and weights were trained with it.
        """
        table = self.relative_position_bias_table
        index = relative_position_index(self.window)[: plan.tokens, : plan.tokens].to(table.device)
        bias = table[index.reshape(-1)].view(plan.tokens, plan.tokens, -1).permute(2, 0, 1)[None]
        bias = bias if mask is None else bias + mask.to(bias.dtype)
        extra = plan.slots - plan.tokens
        return F.pad(F.pad(bias, (0, extra), value=-math.inf), (0, 0, 0, extra)).to(dtype)

    def _cached_bias(self, plan: WindowPlan, mask: Tensor | None, dtype: torch.dtype) -> Tensor:
        """`_bias`, cached until the table changes."""
        if is_exporting():  # tensors without an address
            return self._bias(plan, mask, dtype)
        table = self.relative_position_bias_table
        state = (table.data_ptr(), None if table.is_inference() else table._version)
        if self._cache_state != state:
            self._cache_state, self._cache = state, {}
        # Keyed by the mask itself, which also keeps it alive; tensors hash by identity.
        key = (plan.tokens, mask, dtype)
        if key not in self._cache:
            self._cache[key] = self._bias(plan, mask, dtype).contiguous()
        return self._cache[key]
