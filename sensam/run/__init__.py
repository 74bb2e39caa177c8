"""From settings to a trained model, and back from its folder: the one place that puts a run together."""

from sensam.methods.rebuilding import build_method
from sensam.run.assembly import fit_dataset
from sensam.run.model import Model, load, save_model
from sensam.run.training import run, train

__all__ = ["Model", "build_method", "fit_dataset", "load", "run", "save_model", "train"]
