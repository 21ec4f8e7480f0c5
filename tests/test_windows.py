"""Windows, as far as it can be judged without one: nothing that only other systems have is reached at import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "weakseg"

POSIX_MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}

POSIX_NAMES = {
    "os": {
        "fork", "forkpty", "getegid", "geteuid", "getgid", "getpgid", "getuid", "kill", "killpg", "mkfifo", "mknod",
        "nice", "posix_fallocate", "register_at_fork", "sched_getaffinity", "sched_setaffinity", "setpgid", "setsid",
        "statvfs", "sysconf", "uname", "wait", "waitpid",
    },
    "signal": {"SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGSTOP", "SIGUSR1", "SIGUSR2", "alarm",
               "setitimer"},
    "socket": {"AF_UNIX"},
    "time": {"tzset"},
}  # fmt: skip
"""What the documentation of Python marks as Unix alone, or does something else on Windows."""

GUARDED = {
    ("data/ahead.py", "os.statvfs"),  # an `AttributeError` is caught
    ("data/ahead.py", "signal.SIGCHLD"),  # behind hasattr
    ("endings.py", "os.register_at_fork"),  # behind hasattr
    ("pipeline/lock.py", "os.register_at_fork"),  # behind hasattr
    ("pipeline/lock.py", "fcntl"),  # behind sys.platform
    ("pipeline/working_copy.py", "fcntl"),  # the same
    ("data/remote/tree.py", "fcntl"),  # the same
    ("estimate/process.py", "os.killpg"),  # an `AttributeError` is caught
    ("estimate/process.py", "os.setpgid"),  # behind hasattr
    ("estimate/process.py", "signal.SIGKILL"),  # beside os.killpg
    ("estimate/memory.py", "resource"),  # behind sys.platform
}

ABSENT = """
import os, signal, sys
for name in {modules!r}:
    sys.modules[name] = None
for module, names in ((os, {os_names!r}), (signal, {signal_names!r})):
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
import weakseg.cli, weakseg.arguments.requests, weakseg.files, weakseg.endings
sys.exit(weakseg.cli.main(["--help"]))
"""


def used_names(path: Path) -> set[str]:
    """POSIX-only modules that a file imports, and POSIX-only attributes that it looks up."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= POSIX_MODULES & {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= POSIX_MODULES & {node.module}
            found |= {f"{node.module}.{a.name}" for a in node.names if a.name in POSIX_NAMES.get(node.module or "", ())}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found |= {f"{node.value.id}.{node.attr}"} if node.attr in POSIX_NAMES.get(node.value.id, ()) else set()
    return found


@pytest.mark.slow
def test_what_only_other_systems_have_is_used_where_it_is_guarded() -> None:
    """Another use is no mistake, but has to be looked at: guard it, then name it above."""
    found = {
        (path.relative_to(SOURCE).as_posix(), name)
        for path in sorted(SOURCE.rglob("*.py"))
        for name in used_names(path)
    }
    assert found == GUARDED


def test_the_walk_sees_every_kind_of_use(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("import os, pwd\nfrom signal import SIGKILL\nfrom termios import x\n\ndef f():\n    os.fork()\n")
    assert used_names(path) == {"pwd", "signal.SIGKILL", "termios", "os.fork"}


@pytest.mark.slow
def test_the_command_line_starts_without_what_windows_lacks() -> None:
    """Libraries look at the platform before they use these; only what the package itself imports can be tried here."""
    code = ABSENT.format(
        modules=sorted(POSIX_MODULES - {"posix"}),
        os_names=sorted(POSIX_NAMES["os"] - {"waitpid", "kill", "uname"}),
        signal_names=sorted(POSIX_NAMES["signal"]),
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.startswith("usage: weakseg")
