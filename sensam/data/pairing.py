"""Which image belongs to which mask: by key, the part of a path that a pattern leaves open, never by position."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from sensam.data.layout import DatasetSpec, FilesSpec, SplitSpec
from sensam.errors import InputError, SettingsError


@dataclass(frozen=True, slots=True)
class Item:
    """One sample on disk: its files, one for each instrument, and the mask if there is one."""

    key: str
    split: str
    images: tuple[Path, ...]
    mask: Path | None = None
    domain: str | None = None
    rows: tuple[float, float] = (0.0, 1.0)  # the part of the scene that belongs to the split
    columns: tuple[float, float] = (0.0, 1.0)

    @property
    def is_whole(self) -> bool:
        """Whether the whole scene belongs to the split."""
        return self.rows == self.columns == (0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Pairing:
    """Every sample of a data set, and every file that found no partner."""

    items: Mapping[str, tuple[Item, ...]]
    without_mask: tuple[Item, ...] = ()
    without_image: tuple[Path, ...] = ()  # masks
    incomplete: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # key -> instruments that lack it
    without_split: tuple[str, ...] = ()  # keys that no split names


def pair(spec: DatasetSpec) -> Pairing:
    """All samples of a data set by split, sorted by key."""
    by_folder = any("{split}" in files.files for files in spec.images.values())
    found = [_pair_folder(spec, name) for name in spec.splits] if by_folder else [_pair_folder(spec, None)]
    if not any(part.items for part in found):
        patterns = ", ".join(files.files for files in spec.images.values())
        raise InputError(f"No image matches {patterns} under {spec.root}. Correct `images` or `root`.")
    without_split: tuple[str, ...] = ()
    if by_folder:
        items = {
            name: _chosen(part.items, rule.keys, spec.root)
            for (name, rule), part in zip(spec.splits.items(), found, strict=True)
        }
        _refuse_sharing(items, spec.splits)
    else:
        items, without_split = _deal(found[0].items, spec)
    domains = _domains((item for each in items.values() for item in each), spec)
    settled = {
        name: tuple(_settle(item, name, spec.splits[name], domains.get(item.key)) for item in each)
        for name, each in items.items()
    }
    return Pairing(
        items=settled,
        without_mask=tuple(item for each in settled.values() for item in each if spec.masks and item.mask is None),
        without_image=_without_image(found),
        incomplete={key: names for part in found for key, names in part.incomplete.items()},
        without_split=without_split,
    )


def _without_image(found: Sequence["_Found"]) -> tuple[Path, ...]:
    """Masks that no image has, in any split: folders of masks need not be split as the images are."""
    used = {item.mask for part in found for item in part.items}
    return tuple(dict.fromkeys(path for part in found for path in part.without_image if path not in used))


def find(root: Path, files: FilesSpec, folder: str | None) -> dict[str, Path]:
    """Key -> path for every file that matches a pattern."""
    pattern = files.files.replace("{split}", folder or "")
    matcher = re.compile(_as_regex(pattern))
    found: dict[str, Path] = {}
    for path in sorted(root.glob(_as_glob(pattern))):
        place = path.relative_to(root)
        match = matcher.fullmatch(place.as_posix())
        if match is None or any(part.startswith(".") for part in place.parts):  # such as what is being written
            continue
        if files.key is not None:
            match = re.search(files.key, place.as_posix())
            if match is None:
                raise InputError(f"{path} has no key: the expression {files.key!r} finds nothing in its name.")
        key = "/".join(part.strip("/") for part in match.groups() if part) or path.stem
        if key in found:
            raise InputError(
                f"{found[key]} and {path} have the same key {key!r} under the pattern {files.files}. "
                "Make the pattern leave open what tells them apart."
            )
        found[key] = path
    return found


def _as_glob(pattern: str) -> str:
    return re.sub(r"([\[\]?])", r"[\1]", pattern)


def _as_regex(pattern: str) -> str:
    literal_or_star = re.split(r"(\*\*/|\*)", pattern)
    forms = {"**/": "((?:[^/]+/)*)", "*": "([^/]*)"}
    return "".join(forms.get(part, re.escape(part)) for part in literal_or_star)


@dataclass(frozen=True, slots=True)
class _Found:
    items: tuple[Item, ...]
    without_image: tuple[Path, ...]
    incomplete: dict[str, tuple[str, ...]]


def _pair_folder(spec: DatasetSpec, split: str | None) -> _Found:
    folder = None if split is None else (spec.splits[split].folder or split)
    masks = find(spec.root, spec.masks, folder) if spec.masks else {}
    shared = masks and spec.masks is not None and "*" not in spec.masks.files
    # `x_mask.tif` beside `x.tif` matches `*.tif` too; only one and the same pattern may mean both.
    taken = set(masks.values()) if spec.masks and _differs(spec.masks, spec.images.values()) else set()
    instruments = {
        name: {key: path for key, path in find(spec.root, files, folder).items() if path not in taken}
        for name, files in spec.images.items()
    }
    keys = sorted(set().union(*instruments.values()))
    incomplete = {key: tuple(n for n, files in instruments.items() if key not in files) for key in keys}
    whole = [key for key in keys if not incomplete[key]]
    only_mask = next(iter(masks.values())) if shared else None
    items = tuple(
        Item(key, split or "", tuple(files[key] for files in instruments.values()), only_mask or masks.get(key))
        for key in whole
    )
    return _Found(
        items=items,
        without_image=() if shared else tuple(path for key, path in masks.items() if key not in set(keys)),
        incomplete={key: names for key, names in incomplete.items() if names},
    )


def _differs(masks: FilesSpec, images: Iterable[FilesSpec]) -> bool:
    return all(masks.files != files.files for files in images)


def _settle(item: Item, split: str, rule: SplitSpec, domain: str | None) -> Item:
    return Item(item.key, split, item.images, item.mask, domain, rule.rows, rule.columns)


def _deal(items: tuple[Item, ...], spec: DatasetSpec) -> tuple[dict[str, tuple[Item, ...]], tuple[str, ...]]:
    """Samples of one folder to splits: by their keys, or by shares."""
    shares = {name: rule.share for name, rule in spec.splits.items() if rule.share is not None}
    if shares and len(shares) < len(spec.splits):
        raise SettingsError("Splits are given by shares or by keys. Give all of them a share, or none.")
    if shares:
        return _deal_shares(items, {name: share for name, share in shares.items() if share}), ()
    dealt = {name: _chosen(items, rule.keys, spec.root) for name, rule in spec.splits.items()}
    _refuse_sharing(dealt, spec.splits)
    named = {item.key for each in dealt.values() for item in each}
    return dealt, tuple(item.key for item in items if item.key not in named)


def _deal_shares(items: tuple[Item, ...], shares: dict[str, float]) -> dict[str, tuple[Item, ...]]:
    """The same samples for the same keys on every machine, in exact numbers, in no order of the file names."""
    if sum(shares.values()) > 1 + 1e-9:
        raise SettingsError(f"The shares of the splits add up to {sum(shares.values()):g}. They may reach 1.")
    shuffled = sorted(items, key=lambda item: hashlib.sha256(item.key.encode()).digest())
    dealt: dict[str, tuple[Item, ...]] = {}
    start = 0.0
    for name, share in shares.items():
        first, last = round(start * len(items)), round((start + share) * len(items))
        dealt[name] = tuple(sorted(shuffled[first:last], key=lambda item: item.key))
        start += share
    return dealt


def _refuse_sharing(dealt: dict[str, tuple[Item, ...]], rules: Mapping[str, SplitSpec]) -> None:
    """One sample in two splits is a leak, unless the splits take different parts of the scene."""
    seen: defaultdict[tuple[Path, ...], list[str]] = defaultdict(list)
    for name, items in dealt.items():
        for item in items:
            for other in seen[item.images]:
                if not _apart(rules[name], rules[other]):
                    raise SettingsError(
                        f"{item.key} is in the splits {other} and {name}. Give each its own keys, "
                        "or its own part of the scene with `rows` or `columns`."
                    )
            seen[item.images].append(name)


def _apart(one: SplitSpec, two: SplitSpec) -> bool:
    return any(a[1] <= b[0] or b[1] <= a[0] for a, b in ((one.rows, two.rows), (one.columns, two.columns)))


def _chosen(items: tuple[Item, ...], patterns: Iterable[str], root: Path) -> tuple[Item, ...]:
    is_named = named_by(patterns, root)
    return tuple(item for item in items if is_named(item.key))


def named_by(patterns: Iterable[str], root: Path) -> Callable[[str], bool]:
    """A test for keys: named by a pattern such as `north/*`, or in a list file such as `train.txt`."""
    patterns = list(patterns)
    listed = {pattern for pattern in patterns if not pattern.endswith(".txt")}
    for pattern in set(patterns) - listed:
        listed |= _listed(root / pattern)
    open_patterns = [pattern for pattern in patterns if any(sign in pattern for sign in "*?[")]
    return lambda key: key in listed or any(fnmatchcase(key, pattern) for pattern in open_patterns)


def _listed(path: Path) -> frozenset[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"{path}, named as a list of keys, cannot be read ({error.strerror}).") from error
    return frozenset(line.strip() for line in lines if line.strip())


def _domains(items: Iterable[Item], spec: DatasetSpec) -> dict[str, str]:
    """Key -> domain, for the samples that have one."""
    tests = {name: named_by(patterns, spec.root) for name, patterns in spec.domains.items()}
    domains: dict[str, str] = {}
    for item in items:
        for name in (name for name, is_named in tests.items() if is_named(item.key)):
            if domains.setdefault(item.key, name) != name:
                raise SettingsError(f"{item.key} is in the domains {domains[item.key]} and {name}. A sample has one.")
    return domains
