"""What a translator preserves of its sources, and what is novel in its outputs."""
