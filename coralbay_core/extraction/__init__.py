"""From a volume to its feature maps: tiles, blending, bounded memory, the cache on disk."""
