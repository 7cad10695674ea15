"""Where documents come from: files and Kubernetes; both send the same events.

A source decides nothing: it says what was applied, deleted, or could not be read.
"""
