"""The page: text, layout, wiring, components, style sheets and script, which :mod:`.build` puts together."""
