"""Learning from arrays: models, training, evaluation, prediction, the model registry."""
