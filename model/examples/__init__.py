"""Examples of adding to the registries; each runs."""
