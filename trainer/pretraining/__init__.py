"""Self-supervised first weights: a backbone learns from radiographs that nobody has labelled."""
