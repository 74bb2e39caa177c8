"""What can be chosen in GoodSAM: every block has a weight, and a weight of 0 switches that block off alone."""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sensam.data.coverage import NARROWEST_DEG, USUAL_DEG, WIDEST_DEG
from sensam.methods.base import MethodConfig
from sensam.sam.automatic import AutomaticSettings

# Classes of Cityscapes that are a few pixels wide; wrong masks cost them most, so they have rules of their own.
THIN = frozenset({"pole", "traffic light", "traffic sign", "rider", "motorcycle", "bicycle"})


class _Block(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class WindowSettings(_Block):
    """How an image is cut for the assistant and for SAM. More than one row is GoodSAM++.

    Gnomonic windows show shapes true also far from the horizon, but tilted up and down. Pitches that the assistant was
    not trained on can cost it more than distortion does: leave `rows` out for as little tilt as possible.
    """

    kind: Literal["crop", "gnomonic"] = "crop"  # parts of the image as it is, or perspective views (tangent planes)
    columns: int | None = Field(default=None, ge=1)  # None: 8, or as many as leave each window 32 pixels
    rows: int | None = Field(default=None, ge=1)  # None: 1, or of gnomonic windows the fewest that leave nothing out
    overlap: float = Field(default=0.36, ge=0, lt=1)  # of gnomonic windows only where columns are left out
    fov_deg: float | None = Field(default=None, ge=NARROWEST_DEG, le=WIDEST_DEG)  # of gnomonic windows; None: 70

    @model_validator(mode="after")
    def _only_gnomonic_windows_have_an_angle(self) -> Self:
        if self.kind == "crop" and self.fov_deg is not None:
            raise ValueError("fov_deg is of gnomonic windows; set windows.kind to gnomonic, or leave fov_deg out")
        return self

    @property
    def angle(self) -> float:
        """Degrees that a gnomonic window spans."""
        return self.fov_deg or USUAL_DEG


class MaskSettings(_Block):
    """SAM's automatic masks of a window; the defaults are SAM's own."""

    points_per_side: int = Field(default=32, ge=1)
    min_iou: float = Field(default=0.88, ge=0, le=1)
    min_stability: float = Field(default=0.95, ge=0, le=1)
    max_overlap: float = Field(default=0.7, ge=0, le=1)
    crop_layers: int = Field(default=0, ge=0)

    def automatic(self) -> AutomaticSettings:
        return AutomaticSettings(**self.model_dump())


class RectifySettings(_Block):
    """Distortion-aware rectification of the assistant. Without consistency and boundary the stage falls away."""

    consistency: float = Field(default=1.0, ge=0)
    divergence: Literal["js", "kl", "mse"] = "js"
    boundary: float = Field(default=0.5, ge=0)
    edge: float = Field(default=0.5, ge=0)  # of the boundary loss: the assistant's edges far from any edge of SAM
    anchor: float = Field(default=1.0, ge=0)  # holds the assistant near what it was
    force: bool = False  # allow consistency without the anchor, which ends in one class everywhere
    radius: float = Field(default=3.0, gt=0)  # of a boundary, in pixels of a window enlarged to 1024
    doubt: float = Field(default=0.9, ge=0, le=1)  # below this confidence a boundary pixel may be told its class
    sure: float = Field(default=0.6, ge=0, le=1)  # what the inside of a mask must agree on to tell it
    sure_slim: float = Field(default=0.5, ge=0, le=1)  # the same for masks without an inside
    min_inside: int = Field(default=16, ge=1)  # pixels

    @model_validator(mode="after")
    def _is_anchored(self) -> Self:
        if self.consistency > 0 and self.anchor == 0 and not self.force:
            raise ValueError(
                "consistency without anchor is best served by one class everywhere; set anchor above 0, or force: true"
            )
        return self

    @property
    def does_something(self) -> bool:
        return self.consistency > 0 or self.boundary > 0


class FusionSettings(_Block):
    """Cross-task complementary fusion of SAM's masks and the assistant's classes."""

    strength: float = Field(default=0.9, ge=0, le=1)  # how far a mask's class replaces the assistant's; 0: no fusion
    dominance: float = Field(default=0.5, ge=0, le=1)  # share of the vote a mask's class needs
    rescue_ratio: float = Field(default=0.2, ge=0)  # votes of a thin class over those of the winner that save it
    rescue_confidence: float = Field(default=0.7, ge=0, le=1)
    rescue_area: float = Field(default=0.0075, ge=0, le=1)  # largest mask that is saved, as share of the window
    keep_confidence: float = Field(default=0.99, ge=0, le=1)  # a thin pixel as sure as this is never painted over
    min_confidence: float = Field(default=0.5, ge=0, le=1)  # pixels below teach nothing
    min_area: float = Field(default=100.0, ge=0)  # smallest mask, in pixels of a window enlarged to 1024
    min_purity: float = Field(default=0.8, ge=0, le=1)  # of all masks of a panorama, or none of them is used
    output: Literal["soft", "hard"] = "soft"  # hard: pseudo semantic maps, as in GoodSAM++


class DistilSettings(_Block):
    """Multi-level knowledge adaptation of the student."""

    ensemble: float = Field(default=1.0, ge=0)  # whole panorama, prediction level
    windows: float = Field(default=0.5, ge=0)  # windows, prediction level
    features: float = Field(default=0.1, ge=0)  # windows, feature level
    temperature: float = Field(default=1.0, gt=0)
    student_on_windows: float = Field(default=0.0, ge=0)  # a second pass of the student on each window
    brightness: float = Field(default=0.1, ge=0)  # offset drawn for each band of the student's image, in deviations
    noise: float = Field(default=0.02, ge=0)  # of each of its pixels

    @model_validator(mode="after")
    def _teaches(self) -> Self:
        if not self.ensemble + self.windows + self.features + self.student_on_windows:
            raise ValueError("every weight is 0, so the student would learn nothing")
        return self


class GoodSamConfig(MethodConfig):
    """Settings of GoodSAM; the weights and thresholds are ours, because the paper's cannot be read from its text."""

    assistant: str = "train"  # a SegFormer's hub id or folder, one of our model folders, module:function, or train
    assistant_size: Literal["b0", "b1", "b2", "b5"] = "b1"  # of one that is trained here
    renamed: Mapping[str, str] = Field(
        default_factory=dict
    )  # the assistant's classes that are called otherwise here; several may be one
    unanswered: tuple[str, ...] = ()  # classes that the assistant does not know, accepted as never predicted
    student: Literal["b0", "b1", "b2"] = "b0"
    student_head: int = Field(default=256, ge=1)
    student_start: str | None = None  # hub id or folder of pretrained encoder weights
    around: int = Field(default=32, ge=0)  # columns the student sees beyond the seam; a multiple of 32
    thin: tuple[str, ...] | None = None  # classes a few pixels wide; None: those of Cityscapes that are there
    joint: bool = False  # assistant and student learn at once, and the ensemble follows the assistant
    cut_views: bool = (
        False  # labelled images are panoramas or fisheyes: the assistant learns from perspective views of them
    )
    cache: str | None = None  # folder of masks and ensembles; None: sensam's in the user's cache folder
    windows: WindowSettings = WindowSettings()
    masks: MaskSettings = MaskSettings()
    rectify: RectifySettings = RectifySettings()
    fusion: FusionSettings = FusionSettings()
    distil: DistilSettings = DistilSettings()

    @model_validator(mode="after")
    def _joint_has_something_to_adapt(self) -> Self:
        if self.joint and not self.rectify.does_something:
            raise ValueError("joint adapts the assistant, but consistency and boundary are both 0")
        return self
