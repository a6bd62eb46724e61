"""Snapshots: immutable, published indexes, and the pointer to the current one."""

from lookalike.snapshots.build import build_snapshot
from lookalike.snapshots.encoder_history import Switch, Switches, begin_switch, finish_switch, read_switches
from lookalike.snapshots.housekeeping import collect_garbage, current, known_to_all, list_snapshots
from lookalike.snapshots.item_columns import ItemReader, attribute_types, table_of
from lookalike.snapshots.manifest import BuildOptions, LabelStatistics, SnapshotManifest
from lookalike.snapshots.pointer import Pointer, pointer_path, read_pointer
from lookalike.snapshots.snapshot import (
    Snapshot,
    fetch_side_file,
    forget_snapshots,
    open_snapshot,
    read_manifest,
    snapshot_folder,
)
from lookalike.snapshots.swap import republish

__all__ = [
    "BuildOptions",
    "ItemReader",
    "LabelStatistics",
    "Pointer",
    "Snapshot",
    "SnapshotManifest",
    "Switch",
    "Switches",
    "attribute_types",
    "begin_switch",
    "build_snapshot",
    "collect_garbage",
    "current",
    "fetch_side_file",
    "finish_switch",
    "forget_snapshots",
    "known_to_all",
    "list_snapshots",
    "open_snapshot",
    "pointer_path",
    "read_manifest",
    "read_pointer",
    "read_switches",
    "republish",
    "snapshot_folder",
    "table_of",
]
