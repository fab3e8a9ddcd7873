"""What the page and the API call; gr.Error is raised only here, in :mod:`.errors`."""
