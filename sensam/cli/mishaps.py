"""What went wrong on the machine rather than in the command: a place that cannot be written, memory that ran out."""

import errno
import sys

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}  # of a write that began well; such an error names no file


def explain(failure: Exception) -> str | None:
    """One line about a failure of disk or memory; None for any other, which is ours to mend."""
    if _is_out_of_memory(failure):
        reason = _first_line(failure)
        return (
            f"There is not enough memory for this{f' ({reason})' if reason else ''}. "
            "Take less at once: a smaller --batch, --tile, --size, train.batch or --teacher, or fewer processes."
        )
    if isinstance(failure, BrokenPipeError):
        return None
    if isinstance(failure, OSError) and failure.filename is not None:
        path, reason = failure.filename, failure.strerror or _first_line(failure)
        return f"{path} cannot be written or read ({reason}). Check the path, its rights and the room on the disk."
    if isinstance(failure, OSError) and failure.errno in FULL:
        return f"The output cannot be written ({failure.strerror}). Make room on the disk, or write elsewhere."
    if _is_of_a_file_library(failure):
        return f"A file cannot be written or read ({_first_line(failure)}). Check its path and the room on the disk."
    return None


def _first_line(failure: Exception) -> str:
    return str(failure).strip().partition("\n")[0]


def _is_out_of_memory(failure: Exception) -> bool:
    if isinstance(failure, MemoryError):
        return True
    if not isinstance(failure, RuntimeError) or "torch" not in sys.modules:
        return False
    from sensam.train.memory import is_out_of_memory

    return is_out_of_memory(failure)


def _is_of_a_file_library(failure: Exception) -> bool:
    """Whether safetensors, rasterio or torch failed at a file. A library that was never loaded has not failed."""
    if "safetensors" in sys.modules:
        from safetensors import SafetensorError

        if isinstance(failure, SafetensorError):
            return True
    if "rasterio" in sys.modules:
        from rasterio.errors import RasterioError

        if isinstance(failure, RasterioError):
            return True
    return isinstance(failure, RuntimeError) and "PytorchStreamWriter failed" in str(failure)
