"""Parts of the session as a whole that are saved, one class per part."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coralbay_core.similarity.scopes import SCOPES

from ..controllers import Controllers
from ..controllers.classes import checked_colors
from ..controllers.segmentation import DEFAULT_CONNECTIVITY, known_kind
from ..model.stage_weights import checked_weights
from .parts import Captured, Content, SessionPart, saveable_scans
from .session_file import Arrays

if TYPE_CHECKING:
    from coralbay_core.projection import Basis, UmapModel
    from coralbay_core.similarity import Query

_MOST_COMPONENTS = 1024


def _scope(name: str) -> str:
    if name not in SCOPES:
        raise ValueError("unknown scope")
    return name


class SettingsPart(SessionPart):
    """Settings of heat maps, probes and colors, and the active scan."""

    name = "settings"

    def capture(self, controllers: Controllers) -> Captured:
        similarity, segmentation = controllers.similarity, controllers.segmentation
        weights = similarity.weights
        saved = weights if weights is None or isinstance(weights, str) else {str(s): w for s, w in weights.items()}
        # While a scan is removed it stays active for a moment.
        scans, active = saveable_scans(controllers), controllers.workspace.scan
        content = {
            "share": similarity.body_fraction,
            "weights": saved,
            "prior_mm": similarity.prior_mm,
            "scope": similarity.scope,
            "here": asdict(similarity.here_weights),
            "active": scans.index(active) if active in scans else None,
            "kind": segmentation.kind,
            "refine": segmentation.refine,
            "connectivity": segmentation.connectivity,
            "keep_islands": segmentation.keep_islands,
            "train_on_all": segmentation.train_on_all,
            "components": controllers.projections.components,
            "umap_components": controllers.projections.umap_components,
        }
        return content, {}

    def validate(self, content: Content, arrays: Arrays) -> Content:
        fraction, prior, active = float(content["share"]), content["prior_mm"], content["active"]
        if not 0 < fraction <= 1 or not (prior is None or 0 < float(prior) < float("inf")):
            raise ValueError("settings out of range")
        if not (active is None or isinstance(active, int)):
            raise TypeError("no scan is active")
        return {
            "share": fraction,
            "weights": checked_weights(content["weights"]),
            "prior_mm": prior,
            "scope": _scope(content.get("scope", "everywhere")),
            "here": {str(name): float(weight) for name, weight in content.get("here", {}).items()},
            "active": active,
            "kind": None if content["kind"] is None else known_kind(content["kind"]),
            "refine": content["refine"] is True,
            "connectivity": min(1.0, max(0.0, float(content.get("connectivity", DEFAULT_CONNECTIVITY)))),
            "keep_islands": content.get("keep_islands") is True,
            "train_on_all": content["train_on_all"] is True,
            "components": _components(content.get("components", (0, 1, 2))),
            "umap_components": _components(content.get("umap_components", (0, 1, 2))),
        }

    def restore(self, controllers: Controllers, value: Content) -> None:
        similarity, segmentation = controllers.similarity, controllers.segmentation
        from coralbay_core.similarity import HereWeights

        similarity.scope, similarity.here_weights = value["scope"], HereWeights(**value["here"])
        similarity.body_fraction, similarity.weights = value["share"], value["weights"]
        similarity.prior_mm = value["prior_mm"]
        segmentation.kind = value["kind"]
        segmentation.connectivity, segmentation.keep_islands = value["connectivity"], value["keep_islands"]
        segmentation.refine, segmentation.train_on_all = value["refine"], value["train_on_all"]
        controllers.projections.components = value["components"]
        controllers.projections.umap_components = value["umap_components"]


class BasisPart(SessionPart):
    """The locked PCA basis and UMAP model."""

    name = "basis"

    def capture(self, controllers: Controllers) -> Captured:
        basis, umap = controllers.projections.basis, controllers.projections.umap
        if basis is None:
            return {}, {}
        about, arrays = basis.content()
        return about, arrays if umap is None else arrays | {"umap.sample": umap.sample, "umap.embedded": umap.embedded}

    def validate(self, content: Content, arrays: Arrays) -> "tuple[Basis | None, UmapModel | None]":
        if not content:
            return None, None
        from coralbay_core.projection.basis import basis_from
        from coralbay_core.projection.embedding import UmapModel

        basis = basis_from(arrays, content)
        if "umap.sample" not in arrays:
            return basis, None
        sample, embedded = (np.asarray(arrays[f"umap.{name}"], np.float32) for name in ("sample", "embedded"))
        if not len(sample) or sample.shape[1:] != (basis.size,) or embedded.shape != (len(sample), 3):
            raise ValueError("shapes of a UMAP do not belong together")
        return basis, UmapModel(basis, sample, embedded)

    def restore(self, controllers: Controllers, value: "tuple[Basis | None, UmapModel | None]") -> None:
        controllers.projections.set_basis(*value)


class QueriesPart(SessionPart):
    """Saved queries."""

    name = "queries"

    def capture(self, controllers: Controllers) -> Captured | None:
        arrays: dict[str, NDArray] = {}
        about = []
        for number, query in enumerate(controllers.queries.queries.values()):
            for side in ("positive", "negative"):
                arrays |= {f"{number}.{side}.{s}": rows for s, rows in getattr(query, side).items()}
            weights = None if query.weights is None else {str(s): w for s, w in query.weights.items()}
            keys = ("name", "model", "fingerprint", "notice", "about")
            about.append({key: getattr(query, key) for key in keys} | {"weights": weights})
        return ({"queries": about}, arrays) if about else None

    def validate(self, content: Content, arrays: Arrays) -> "dict[str, Query]":
        from coralbay_core.similarity.query import query_from

        found = {}
        for number, about in enumerate(content["queries"]):
            own = {key.split(".", 1)[1]: rows for key, rows in arrays.items() if key.split(".", 1)[0] == str(number)}
            query = query_from(own, about)
            found[query.name] = query
        return found

    def restore(self, controllers: Controllers, value: "dict[str, Query]") -> None:
        controllers.queries.restore(value)


class ClassColorsPart(SessionPart):
    """Chosen colors of classes."""

    name = "classcolors"

    def capture(self, controllers: Controllers) -> Captured | None:
        return {str(value): color for value, color in controllers.classes.colors.items()}, {}

    def validate(self, content: Content, arrays: Arrays) -> dict[int, str]:
        return checked_colors({int(value): color for value, color in content.items()})

    def restore(self, controllers: Controllers, value: dict[int, str]) -> None:
        controllers.classes.colors = value


def _components(numbers: Any) -> tuple[int, int, int]:
    red, green, blue = numbers
    if not all(type(number) is int and 0 <= number < _MOST_COMPONENTS for number in (red, green, blue)):
        raise ValueError("no such components")
    return red, green, blue


SESSION_PARTS: tuple[SessionPart, ...] = (SettingsPart(), BasisPart(), QueriesPart(), ClassColorsPart())
