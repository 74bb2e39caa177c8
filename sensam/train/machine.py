"""The processes that a run computes on, through Lightning Fabric: one, many, or many nodes."""

import logging

from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_fabric.utilities.exceptions import MisconfigurationException

from sensam.config import MachineSettings
from sensam.errors import SettingsError


def start_machine(settings: MachineSettings) -> Fabric:
    """Start the processes; in each of them this returns its own Fabric."""
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    is_single = settings.devices == 1 and settings.nodes == 1
    try:
        fabric = Fabric(
            accelerator=settings.accelerator,
            # Branches that a step does not take have no gradient, and must not wait for one.
            strategy="auto" if is_single else DDPStrategy(find_unused_parameters=True),
            devices=settings.devices,
            num_nodes=settings.nodes,
            precision="bf16-mixed" if settings.precision == "bf16" else "32-true",
        )
    except (RuntimeError, TypeError, ValueError, MisconfigurationException) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise SettingsError(
            f"There are no {settings.devices} devices of kind {settings.accelerator} here ({first}). "
            "Choose others with --devices and --accelerator."
        ) from error
    fabric.launch()
    return fabric
