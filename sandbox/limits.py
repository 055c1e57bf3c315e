"""What untrusted code may use. All limits are enforced from outside the code that they bind."""

from __future__ import annotations

from dataclasses import asdict, dataclass

KiB = 1024
MiB = 1024 * KiB
GiB = 1024 * MiB


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Budgets of one sandboxed run: of all its processes together, unless said otherwise.

    Raises :class:`ValueError` for a budget that is not positive.
    """

    wall_seconds: float | None = 120.0
    """Seconds from start to kill; None for a worker whose owner keeps the time itself."""
    cpu_seconds: float | None = 60.0
    """CPU seconds, summed over the processes; None for a long-lived worker."""
    memory_bytes: int = 2 * GiB
    """Private memory of each process (allocation fails) and resident memory of all (they are killed)."""
    processes: int = 64
    """Processes and threads at the same time."""
    file_bytes: int = 64 * MiB
    """Size of one written file."""
    open_files: int = 128
    """Open files of each process."""
    output_bytes: int = 10 * MiB
    """Bytes on standard output and standard error together, then the run is stopped."""
    tmp_bytes: int = 64 * MiB
    """Bytes in the temporary folder, and growth of a workspace."""
    tmp_files: int = 20_000
    """Files in the temporary folder, and new ones in a workspace."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be positive, got {value}")
