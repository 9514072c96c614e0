"""A model as MLflow's servers run it."""
