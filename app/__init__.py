"""The web lab. The only place that imports gradio."""
