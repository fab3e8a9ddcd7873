"""What the page (:mod:`.callbacks`) and the API (:mod:`.endpoints`) call. Only here gr.Error is raised."""
