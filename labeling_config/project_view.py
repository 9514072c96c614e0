"""The tab of Label Studio's task list that an expert sees first.

"Label All Tasks" asks Label Studio for the next task without naming a tab and gets the sampling
order. A link straight into labelling (`/projects/N/data?labeling=1`) and "Label Tasks As
Displayed" take the order of the tab instead, which is by task id unless the tab says otherwise.
So the first tab is ordered by the score of the serving model, the least certain first.
"""

from __future__ import annotations

from typing import Any

VIEW_TITLE = "Least certain first"
HIDDEN_STANDARDS = "tasks:data.standards"
"""HTML, for the page alone."""
_HIDDEN_IN_LIST = (
    "tasks:inner_id",
    "tasks:annotations_results",
    "tasks:annotations_ids",
    "tasks:predictions_model_versions",
    "tasks:predictions_results",
    "tasks:file_upload",
    "tasks:storage_filename",
    "tasks:created_at",
    "tasks:updated_at",
    "tasks:updated_by",
    "tasks:draft_exists",
    "tasks:data.radiograph",
    HIDDEN_STANDARDS,
)
_HIDDEN_WHILE_LABELLING = (
    *_HIDDEN_IN_LIST,
    "tasks:id",
    "tasks:completed_at",
    "tasks:cancelled_annotations",
    "tasks:total_predictions",
    "tasks:annotators",
    "tasks:avg_lead_time",
)


def without_standards(data: dict[str, Any]) -> dict[str, Any]:
    """Returns the `data` of a tab with the column of the reference cases hidden."""
    hidden = {"explore": [], "labeling": [], **(data.get("hiddenColumns") or {})}
    return {
        **data,
        "hiddenColumns": {k: [*dict.fromkeys((*v, HIDDEN_STANDARDS))] for k, v in hidden.items()},
    }


def least_certain_first() -> dict[str, Any]:
    """Returns the tab as `POST /api/dm/views` takes it."""
    return {
        "title": VIEW_TITLE,
        "ordering": ["tasks:predictions_score"],
        "hiddenColumns": {
            "explore": list(_HIDDEN_IN_LIST),
            "labeling": list(_HIDDEN_WHILE_LABELLING),
        },
    }
