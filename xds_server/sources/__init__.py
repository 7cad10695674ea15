"""Where documents come from: files today; each source sends the same events.

A source decides nothing: it says what was applied, deleted, or could not be read.
"""
