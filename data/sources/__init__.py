"""Where radiographs come from: one module for each layout or server that they are found on.

A source yields what it finds and judges nothing: what it cannot deliver is yielded with the
reason, so that an import can report it and go on.
"""
