"""The page: text, parts, wiring, components, style sheets and script, which :mod:`.build` puts together."""
