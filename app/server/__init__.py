"""How the page is served: what stands around Gradio's own server, and is no part of the page."""
