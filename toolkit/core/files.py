"""Files and folders that appear whole: locks, hashes, and a folder brought to the disk and published by one rename."""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType

from toolkit.errors import ParityError, StoreError, UsageError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
UNWRITABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO})
_ELSEWHERE = "choose another place, with --out or a root elsewhere"
_HINTS: Mapping[int, str] = MappingProxyType(
    {
        errno.ENOSPC: f"free some space, or {_ELSEWHERE}",
        errno.EDQUOT: f"free some of your quota, or {_ELSEWHERE}",
        errno.EROFS: _ELSEWHERE,
        errno.EACCES: f"change its permissions, or {_ELSEWHERE}",
        errno.EPERM: f"change its permissions, or {_ELSEWHERE}",
        errno.ENOTDIR: f"a file is where a folder should be: move it away, or {_ELSEWHERE}",
        errno.EEXIST: f"a file is where a folder should be: move it away, or {_ELSEWHERE}",
    }
)


def storage_error(error: OSError, path: Path) -> StoreError:
    """What the operating system said of a path (the error's own where it has one), as our error with figures."""
    place = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else path
    # mkdir says "file exists" of a file in a folder's place, which explains nothing.
    reason = "not a folder" if error.errno == errno.EEXIST else (error.strerror or str(error)).lower()
    if error.errno in FULL:
        reason += _free(place)
    return StoreError(f"{place}: {reason}", hint=_HINTS.get(error.errno or 0, "check the path and its file system"))


def refuse_if_full(error: Exception, path: Path) -> None:
    """Turn a library's error about a full disk into ours: an OSError's number, or the words of TensorFlow's own class.

    Raises:
        StoreError: it is about that.
    """
    number = error.errno if isinstance(error, OSError) else None
    said = next((full for full in FULL if os.strerror(full) in str(error)), None)
    if number in FULL or said:
        raise storage_error(OSError(number or said, os.strerror(number or said or 0)), path) from error


def _free(place: Path) -> str:
    for existing in (place, *place.absolute().parents):
        with suppress(OSError):
            return f" ({shutil.disk_usage(existing).free:,} bytes free)"
    return ""


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn every OSError of the block into a StoreError."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, path) from error


@contextmanager
def exclusive(lock: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a lock file, which is made for it and removed after it; a dead process holds nothing, whatever its id.

    Raises:
        BlockingIOError: somebody else holds it, and `wait` is false.
    """
    descriptor = _take(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        yield
    finally:
        with suppress(OSError):
            lock.unlink()
        # A forked child may have inherited the descriptor: closing ours alone would leave the lock to it.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _take(lock: Path, how: int) -> int:
    while True:
        try:
            # Open for writing, since NFS grants an exclusive lock on nothing less (and so none on a folder).
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:
            lock.parent.mkdir(parents=True, exist_ok=True)
            continue
        try:
            fcntl.flock(descriptor, how)
            # The holder before us may have removed the file while we waited; then ours is a lock on nothing.
            if _is_at(descriptor, lock):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


@contextmanager
def folder(path: Path) -> Iterator[Path]:
    """The folder and its parents, made where missing; those made here are removed again where they stay empty."""
    missing = [place for place in (path, *path.parents) if not place.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
        for place in missing:
            sync_folder(place.parent)
        yield path
    finally:
        for place in missing:
            with suppress(OSError):
                place.rmdir()


def hash_file(path: Path) -> str:
    """The sha256 of a file's bytes."""
    with storage_errors(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_files(directory: Path) -> dict[str, str]:
    """Relative posix path -> sha256 of every file under a folder, sorted.

    Raises:
        ParityError: there is a link or a special file, which a hash of bytes cannot vouch for.
    """
    with storage_errors(directory):
        files = [path for path, is_folder in _walk(directory) if not is_folder]
        return {
            name: hash_file(directory / name)
            for name in sorted(path.relative_to(directory).as_posix() for path in files)
        }


def digest_of(files: Mapping[str, str]) -> str:
    """One sha256 over what `hash_files` gave, whatever its order."""
    # JSON quotes what a path may hold (newlines, undecodable bytes), so that two mappings never read the same.
    return hashlib.sha256(json.dumps(sorted(files.items())).encode()).hexdigest()


def publish_directory(stage: Path, target: Path) -> None:
    """Bring a stage to the disk and let it appear as `target`, on the same file system, by one rename.

    Files and folders inside get at least the permissions of the stage itself.

    Raises:
        UsageError: something other than an empty folder is there already.
        StoreError: the place is full or cannot be written; nothing has appeared.
    """
    with storage_errors(target):
        _settle(stage)
        try:
            stage.rename(target)
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR) and os.path.lexists(target):
                raise UsageError(f"{target} is already there", hint="name another place, or remove it first") from error
            raise
    try:
        sync_folder(target.parent)
    except OSError as error:
        problem = f"{target} is published and whole, but may not outlive a power cut: {error.strerror}"
        raise StoreError(problem, hint="check the disk, then publish again") from error


def _settle(stage: Path) -> None:
    # Some writers make private files (mkstemp's 0600); a server under another account has to read them.
    wanted = stat.S_IMODE(stage.stat().st_mode) & 0o777
    for path, is_folder in _walk(stage):
        mode = stat.S_IMODE(path.stat().st_mode)
        shared = mode | (wanted if is_folder else wanted & 0o666)
        if mode != shared:
            path.chmod(shared)
        if is_folder:
            sync_folder(path)
        else:
            _sync(path, os.O_RDONLY | os.O_NOFOLLOW)
    sync_folder(stage)


def sync_folder(directory: Path) -> None:
    """Bring a folder's own entries to the disk."""
    try:
        _sync(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        # Some network file systems keep entries safe themselves and refuse to be asked.
        if error.errno != errno.EINVAL:
            raise


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _walk(directory: Path) -> Iterator[tuple[Path, bool]]:
    """Everything under a folder, in a fixed order, the content of a folder before itself; true says folder."""
    with os.scandir(directory) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(path)
            yield path, True
        elif entry.is_file(follow_symlinks=False):
            yield path, False
        else:
            kind = "a link" if entry.is_symlink() else "no regular file"
            raise ParityError(f"{path} is {kind}; a bundle holds files and folders only", hint="build the bundle again")
