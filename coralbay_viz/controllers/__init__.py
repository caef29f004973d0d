"""Controllers: one per subject of the session. They validate commands, start tasks and store the results."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .alignments import AlignmentsController
from .classes import ClassesController
from .comparisons import ComparisonsController
from .ct_windows import WindowsController
from .cursor import CursorController
from .exports import ExportsController
from .features import FeaturesController
from .library import LibraryController
from .overlays import OverlaysController
from .probability import ProbabilityController
from .projections import ProjectionsController
from .queries import QueriesController
from .scorecard import ScorecardController
from .segmentation import SegmentationController
from .similarity import SimilarityController
from .suggestions import SuggestionsController
from .training import TrainingController
from .transfers import TransfersController
from .workspace import Workspace

if TYPE_CHECKING:
    from coralbay_core.extraction.cache import FeatureStore

    from ..jobs import Runner


@dataclass(frozen=True)
class Controllers:
    """All controllers of one session, over one workspace."""

    workspace: Workspace
    features: FeaturesController
    alignments: AlignmentsController
    similarity: SimilarityController
    queries: QueriesController
    comparisons: ComparisonsController
    cursor: CursorController
    segmentation: SegmentationController
    suggestions: SuggestionsController
    classes: ClassesController
    probability: ProbabilityController
    projections: ProjectionsController
    overlays: OverlaysController
    windows: WindowsController
    library: LibraryController
    scorecard: ScorecardController
    training: TrainingController
    exports: ExportsController
    transfers: TransfersController

    @classmethod
    def build(cls, runner: "Runner", model: str, device: str, store: "FeatureStore | bool") -> "Controllers":
        """Make the controllers in the order of their dependencies; signals reach them in this order, too."""
        workspace = Workspace(runner, store)
        features = FeaturesController(workspace, model, device)
        alignments = AlignmentsController(workspace)
        similarity = SimilarityController(workspace, features, alignments)
        queries = QueriesController(workspace, features, similarity)
        segmentation = SegmentationController(workspace, features)
        probability = ProbabilityController(workspace, segmentation)
        projections = ProjectionsController(workspace, features)
        return cls(
            workspace=workspace,
            features=features,
            alignments=alignments,
            similarity=similarity,
            queries=queries,
            comparisons=ComparisonsController(workspace, similarity),
            cursor=CursorController(workspace, features, similarity, alignments),
            segmentation=segmentation,
            suggestions=SuggestionsController(workspace, segmentation),
            classes=ClassesController(workspace, segmentation),
            probability=probability,
            projections=projections,
            overlays=OverlaysController(workspace, projections, probability),
            windows=WindowsController(workspace, features, similarity),
            library=LibraryController(workspace, features, similarity, queries),
            scorecard=ScorecardController(workspace, features, similarity, segmentation),
            training=TrainingController(workspace, features, similarity),
            exports=ExportsController(workspace, similarity, segmentation),
            transfers=TransfersController(workspace, features, segmentation),
        )


__all__ = ["Controllers"]
