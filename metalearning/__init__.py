"""The learning engine: from embeddings and a few answers to calibrated suggestions.

pool -> adapt -> predict -> rank -> (people answer) -> adapt -> ...

It knows nothing of the application, of its database or of its jobs.
"""
