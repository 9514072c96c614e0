"""What a training may start from: the champion, or radiographs that nobody has labelled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.domain import Split
from data.ledger.ledger import Ledger
from workers.assembly import mask_store, pool, registry
from workers.settings import Settings

if TYPE_CHECKING:
    from trainer.options import TrainOptions
    from trainer.training import Start


def start_of(settings: Settings, ledger: Ledger, options: TrainOptions) -> Start:
    """Gathers what the options want the first weights to come from."""
    from trainer.inputs.pixels import Film
    from trainer.training import Start

    if options.start == "champion":
        models = registry(settings)
        champion = models.champion()
        if champion is None:
            return Start()
        return Start(models.fetch(champion.model_version, settings.cache / "models"))
    if options.start != "self_supervised":
        return Start()
    images, masks = pool(settings), mask_store(settings)
    films = [
        Film(radiograph.id, images.root / radiograph.path, masks.find(radiograph.id))
        for radiograph in ledger.radiographs()
        if radiograph.split is not Split.TEST
    ]
    return Start(pool=films)
