"""The labelling application: rows, the pipeline over them, and the doors to it."""
