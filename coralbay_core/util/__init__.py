"""General helpers: atomic files, tensor files, JSON values, memory, cancellation."""
