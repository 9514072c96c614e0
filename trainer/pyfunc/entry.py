"""What MLflow runs to get a model (its "models from code"); a copy lies in every model folder."""

from mlflow.models import set_model

from trainer.pyfunc.pyfunc import RadiographModel

set_model(RadiographModel())
