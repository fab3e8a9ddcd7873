"""Questions that take longer than a run: each is asked in small steps, and told while it goes on.

``breaking``, ``defences``, ``fifty`` and ``planes`` compute: generators of :class:`app.events.Progress` and
of what was found so far. ``words`` says it, ``charts`` and ``views`` show it. None of them knows of Gradio.
"""
