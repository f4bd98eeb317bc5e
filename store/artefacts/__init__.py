"""The artefacts' bytes, and what is derived from them: posters, sizes, durations."""
