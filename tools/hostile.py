"""Answers and files of somebody who attacks the computer that grades them: see `attacks`.

The code of an answer finds these names in front of it: ``HOST``, a folder of the grading account
with a file ``secret`` and a file ``precious``; ``SOCKET`` and ``FIFO``, where somebody listens, as
on the abstract socket ``ABSTRACT`` and on ``PORT`` of 127.0.0.1; ``ME``, the name of the attack;
and ``out(text)``, which raises an error with that text: a way to the page of feedback.
"""

from __future__ import annotations

import textwrap

PREFACE = """
import os, sys, json, torch
HOST, SOCKET, FIFO, ABSTRACT, PORT, ME = {facts}

def out(text):
    raise ValueError(str(text)[-300:])

def libc():
    import ctypes
    return ctypes.CDLL(None, use_errno=True)
"""

ANSWERS: dict[str, str] = {}
"""Bodies of ``upsample_forward(x, scale)`` by the name of the attack. None of them is right."""

CELLS: dict[str, str] = {}
"""Cells in front of such an answer, which is ``return x``."""

MARKERS = (
    *("OTHERS", "PASSWORD", "LISTED", "INHERITED", "MARKED", "LOCKED", "WATCHED", "STAYS", "QUEUE"),
    *("VSOCK", "NETLINK", "ALG", "KEYS", "URING", "NAMESPACE", "FAULTS", "LIMITED", "HANDLE"),
    *("SLOWED", "BOUND", "PATCHED", "COPIED", "MEMORY-OF-ANOTHER", "TRACED", "MOUNTED", "DISK"),
    *("CORE-PATTERN", "SYSRQ", "TYPED", "WROTE", "many"),
)
"""What an answer says that has got something which leaves no other trace."""

HONEST = (
    "return x.repeat_interleave(scale, dim=-1).repeat_interleave(scale, dim=-2)",
    "return x[..., :, None, :, None].expand(*x.shape[:-1], scale, x.shape[-1], scale)"
    ".reshape(*x.shape[:-2], x.shape[-2] * scale, x.shape[-1] * scale)",
)
"""Right answers of the students in between, who must get their points."""


def _answers(text: str) -> None:
    """Read attacks that are written one below the other, each under its name in brackets."""
    for part in textwrap.dedent(text).split("\n[")[1:]:
        name, body = part.split("]\n", 1)
        assert name not in ANSWERS, name
        ANSWERS[name] = body.strip("\n")


# ------------------------------------------------------------------------------ to read files

_answers(
    """
[read]
out(open(f"{HOST}/secret").read())
[read-os]
out(os.read(os.open(f"{HOST}/secret", os.O_RDONLY), 99))
[read-libc]
import ctypes
fd, room = libc().open(f"{HOST}/secret".encode(), 0), ctypes.create_string_buffer(99)
libc().read(fd, room, 99)
out(room.value)
[read-by-torch]
out(bytes(torch.from_file(f"{HOST}/secret", size=20, dtype=torch.uint8).tolist()))
[read-by-numpy]
import numpy
out(bytes(numpy.fromfile(f"{HOST}/secret", dtype="uint8")))
[read-by-linecache]
import linecache
out(linecache.getline(f"{HOST}/secret", 1))
[read-root-of-parent]
found = []
for pid in [p for p in os.listdir("/proc") if p.isdigit()]:
    try: found.append(open(f"/proc/{pid}/root{HOST}/secret").read())
    except OSError: pass
out(found)
[read-environment-of-others]
found = []
for pid in [p for p in os.listdir("/proc") if p.isdigit()]:
    try: found.append(open(f"/proc/{pid}/environ").read())
    except OSError: pass
out("PASSWORD" if "PASSWORD-1" in "".join(found) else "none")
[read-other-students]
import glob
top = os.path.dirname(os.path.dirname(HOST))
out("OTHERS" if [open(p).read(9) for p in glob.glob(top + "/class/*/*.ipynb")] else "none")
[read-memory-of-parent]
found = ""
for pid in [os.getppid(), 1]:
    try:
        for line in open(f"/proc/{pid}/maps"):
            low, high = (int(n, 16) for n in line.split()[0].split("-"))
            if "rw" in line and high - low < 10**8:
                with open(f"/proc/{pid}/mem", "rb", 0) as m:
                    m.seek(low); found += "read" if m.read(9) else ""
                break
    except OSError as e: pass
    except ValueError as e: pass
out("MEMORY-OF-ANOTHER" if found and os.getppid() != 1 and not INSIDE else "none")
[list-home]
out("LISTED" if os.listdir(os.path.dirname(HOST)) else "none")
[environment]
out("PASSWORD" if "PASSWORD-1" in str(dict(os.environ)) else "none")
[read-from-folder]
os.chdir(HOST)
out(open("secret").read())
[read-folder-of-parent]
found = []
for pid in [p for p in os.listdir("/proc") if p.isdigit()]:
    try: found.append(open(f"/proc/{pid}/cwd/homes/{ME}/secret").read())
    except OSError: pass
out(found)
[read-mapped]
import mmap
fd = os.open(f"{HOST}/secret", os.O_RDONLY)
out(mmap.mmap(fd, 20, prot=mmap.PROT_READ)[:])
[read-openat2]
import ctypes, struct
how, room = struct.pack("QQQ", 0, 0, 0), ctypes.create_string_buffer(99)
fd = libc().syscall(437, -100, f"{HOST}/secret".encode(), how, ctypes.c_size_t(24))
libc().read(fd, room, 99)
out(room.value)
[inherited-files]
import stat
for fd in range(3, 1000):
    try:
        kind = stat.S_IFMT(os.fstat(fd).st_mode)
    except OSError: continue
    if kind in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFSOCK): out("INHERITED")
"""
)

# ------------------------------------------------------------------------------ to change files

_answers(
    """
[write]
open(f"{HOST}/new", "w").write("x")
[write-os]
os.write(os.open(f"{HOST}/new", os.O_WRONLY | os.O_CREAT), b"x")
[write-libc]
fd = libc().open(f"{HOST}/new".encode(), 0o101, 0o600)
out(libc().write(fd, b"x", 1))
[append]
open(f"{HOST}/precious", "a").write("x")
[truncate]
os.truncate(f"{HOST}/precious", 0)
[truncate-libc]
out(libc().truncate(f"{HOST}/precious".encode(), 0))
[unlink]
os.remove(f"{HOST}/precious")
[unlink-libc]
out(libc().unlink(f"{HOST}/precious".encode()))
[unlink-pathlib]
import pathlib
pathlib.Path(HOST, "precious").unlink()
[rename]
os.replace(f"{HOST}/precious", f"{HOST}/gone")
[rename-libc]
out(libc().rename(f"{HOST}/precious".encode(), f"{HOST}/gone".encode()))
[rmtree]
import shutil
shutil.rmtree(HOST)
[mkdir]
os.makedirs(f"{HOST}/a/b")
[chmod]
os.chmod(f"{HOST}/precious", 0o777)
[chmod-libc]
out(libc().chmod(f"{HOST}/precious".encode(), 0o777))
[utime]
os.utime(f"{HOST}/precious", (0, 0))
[symlink]
os.symlink("/etc/passwd", f"{HOST}/link")
[link]
os.link(f"{HOST}/precious", f"{HOST}/second")
[mkfifo]
os.mkfifo(f"{HOST}/pipe")
[mknod]
os.mknod(f"{HOST}/node", 0o600 | 0o010000)
[sqlite]
import sqlite3
sqlite3.connect(f"{HOST}/base").execute("create table t (x)")
[dbm]
import shelve
shelve.open(f"{HOST}/shelf")["a"] = 1
[torch-save]
torch.save(x, f"{HOST}/tensor.pt")
[torch-from-file]
torch.from_file(f"{HOST}/precious", shared=True, size=4, dtype=torch.uint8).zero_()
[numpy-save]
import numpy
numpy.save(f"{HOST}/array", numpy.zeros(3))
[numpy-memmap]
import numpy
numpy.memmap(f"{HOST}/precious", mode="r+")[:] = 0
[mmap]
import mmap
with open(f"{HOST}/precious", "r+b") as f: mmap.mmap(f.fileno(), 0)[0:1] = b"!"
[picture]
import matplotlib; matplotlib.use("agg")
import matplotlib.pyplot as plt
plt.plot([1]); plt.savefig(f"{HOST}/plot.png")
[logging]
import logging
logging.FileHandler(f"{HOST}/log").emit(logging.makeLogRecord({}))
[zip]
import zipfile
zipfile.ZipFile(f"{HOST}/x.zip", "w").writestr("a", "b")
[library]
import n2n_lib.course.check as c
open(os.path.join(os.path.dirname(c.__file__), "__init__.py"), "a").write("# changed by an answer")
[fill-shared-memory]
with open("/dev/shm/" + ME, "wb") as f: f.write(b"x" * 10**9)
out("WROTE")
[fill-tmp]
import tempfile
with open(tempfile.gettempdir() + "/" + ME, "wb") as f: f.write(b"x" * 10**9)
out("WROTE")
[write-openat2]
import struct
how = struct.pack("QQQ", os.O_WRONLY | os.O_TRUNC, 0, 0)
import ctypes
out(libc().syscall(437, -100, f"{HOST}/precious".encode(), how, ctypes.c_size_t(24)))
[exchange]
out(libc().syscall(316, -100, f"{HOST}/precious".encode(), -100, f"{HOST}/secret".encode(), 2))
[attribute]
os.setxattr(f"{HOST}/precious", "user.n2n", b"x"); out("MARKED")
[attribute-libc]
r = libc().setxattr(f"{HOST}/precious".encode(), b"user.n2n", b"x", 1, 0)
out("MARKED" if r == 0 else "no")
[x32-call]
out(libc().syscall(0x40000000 | 83, f"{HOST}/new".encode(), 0o700))
[32-bit-call]
import ctypes, mmap
place = libc().mmap; place.restype = ctypes.c_void_p
low = place(None, ctypes.c_size_t(4096), 7, 0x62, -1, 0)
ctypes.memmove(low + 1024, f"{HOST}/new".encode() + bytes(1), len(HOST) + 5)
code = b"\\x53\\xb8\\x27\\x00\\x00\\x00\\xbb" + (low + 1024).to_bytes(4, "little")
code += b"\\xb9\\xc0\\x01\\x00\\x00\\xcd\\x80\\x5b\\xc3"
ctypes.memmove(low, code, len(code))
out(ctypes.CFUNCTYPE(ctypes.c_int)(low)())
[lock]
import fcntl
fcntl.flock(os.open(f"{HOST}/precious", os.O_RDONLY), fcntl.LOCK_EX); out("LOCKED")
[watch]
r = libc().inotify_add_watch(libc().inotify_init(), HOST.encode(), 0xFFF)
out("WATCHED" if r >= 0 else "no")
[memory-that-stays]
r = [libc().shmget(0, 10**8, 0o1600) for _ in range(9)]
out("STAYS" if r[0] >= 0 else "no")
[queue]
r = libc().mq_open(b"/n2n", 0o102, 0o600, None)
out("QUEUE" if r >= 0 else "no")
[memfd]
fd = os.memfd_create("x"); os.write(fd, b"x" * 10**8)
out(len(x))
"""
)

# ------------------------------------------------------------------------------ to get out

_answers(
    """
[unix-socket]
import socket
s = socket.socket(socket.AF_UNIX); s.connect(SOCKET); s.send(ME.encode())
[unix-socket-libc]
import ctypes, struct
s = libc().socket(1, 1, 0)
a = struct.pack("H", 1) + SOCKET.encode() + bytes(1)
libc().connect(s, a, len(a)); libc().send(s, ME.encode(), len(ME), 0)
[abstract-socket]
import socket
s = socket.socket(socket.AF_UNIX); s.connect("\\0" + ABSTRACT); s.send(ME.encode())
[abstract-socket-libc]
import struct
s = libc().socket(1, 1, 0)
a = struct.pack("H", 1) + bytes(1) + ABSTRACT.encode()
libc().connect(s, a, len(a)); libc().send(s, ME.encode(), len(ME), 0)
[tcp]
import socket
socket.create_connection(("127.0.0.1", PORT), 2).send(ME.encode())
[tcp-raw-module]
import _socket
s = _socket.socket(); s.connect(("127.0.0.1", PORT)); s.send(ME.encode())
[tcp-libc]
import struct
s = libc().socket(2, 1, 0)
a = struct.pack("=H", 2) + struct.pack("!H4s8x", PORT, bytes([127, 0, 0, 1]))
libc().connect(s, a, len(a)); libc().send(s, ME.encode(), len(ME), 0)
[urllib]
import urllib.request
urllib.request.urlopen(f"http://127.0.0.1:{PORT}/{ME}", timeout=2)
[fifo]
os.write(os.open(FIFO, os.O_WRONLY | os.O_NONBLOCK), ME.encode())
[fifo-libc]
fd = libc().open(FIFO.encode(), 0o4001); libc().write(fd, ME.encode(), len(ME))
[execute-tool-with-socket]
code = "import socket; s = socket.socket(socket.AF_UNIX); "
code += f"s.connect({SOCKET!r}); s.send({ME.encode()!r})"
os.execv(sys.executable, [sys.executable, "-c", code])
[execute-libc]
import ctypes
words = [sys.executable.encode(), b"-c", f"open('{HOST}/new', 'w')".encode(), None]
libc().execv(words[0], (ctypes.c_char_p * 4)(*words))
[system]
os.system(f"touch {HOST}/new")
[system-libc]
libc().system(f"touch {HOST}/new".encode())
[subprocess]
import subprocess
subprocess.run(["touch", f"{HOST}/new"])
[fork-exec]
import _posixsubprocess
words = [b"/bin/sh", b"-c", f"touch {HOST}/new".encode()]
rest = (True, (), None, None, *[-1] * 6, 1, 2, False, False, -1, None, None, None, -1, None)
_posixsubprocess.fork_exec(words, [b"/bin/sh"], *rest, False)
[popen]
out(os.popen(f"cat {HOST}/secret").read())
[spawn]
os.spawnv(os.P_WAIT, "/bin/sh", ["/bin/sh", "-c", f"touch {HOST}/new"])
[posix-spawn]
os.posix_spawn("/bin/sh", ["/bin/sh", "-c", f"touch {HOST}/new"], {})
[pty]
import pty
pty.spawn(["/bin/sh", "-c", f"touch {HOST}/new"])
[multiprocessing]
import multiprocessing
multiprocessing.Process(target=print).start()
[fork-and-stay]
import time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(600)
[fork-and-stay-libc]
import time
if libc().fork() == 0:
    libc().prctl(1, 0, 0, 0, 0); libc().setsid()
    time.sleep(600)
[fork-bomb]
while True:
    try: os.fork()
    except OSError: pass
[thread-bomb]
import threading, time
made = 0
try:
    while made < 5000:
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start(); made += 1
except RuntimeError: pass
out(made > 0 and "many" or "none")
[kill-parent]
os.kill(os.getppid(), 9)
[kill-parent-libc]
libc().kill(os.getppid(), 9)
[kill-all-libc]
libc().kill(-1, 9)
[stop-parent-libc]
libc().kill(os.getppid(), 19)
[trace-parent]
out("TRACED" if libc().ptrace(16, os.getppid(), 0, 0) == 0 and not INSIDE else "no")
[mount]
r = libc().mount(None, b"/", None, 32 | 4096, None)
out(("MOUNTED" if r == 0 else "no") + str(libc().unlink(f"{HOST}/precious".encode())))
[unmount]
for place in ("/tmp", "/home", "/root", "/run", "/proc"): libc().umount2(place.encode(), 2)
out(open(f"{HOST}/secret").read())
[chroot]
libc().unshare(0x10000000); libc().chroot(b"/proc/1/root"); libc().chdir(b"/")
out(open(f"{HOST}/secret").read())
[namespaces]
r = [libc().unshare(flag) for flag in (0x10000000, 0x00020000, 0x40000000)]
libc().mount(b"none", b"/tmp", b"tmpfs", 0, None)
out(open(f"{HOST}/secret").read())
[set-user]
os.setresuid(0, 0, 0)
os.remove(f"{HOST}/precious")
[set-user-libc]
libc().setresuid(0, 0, 0); libc().unlink(f"{HOST}/precious".encode())
[device]
libc().mknod(b"/tmp/disk", 0o60666, (254 << 8))
out("DISK" if open("/tmp/disk", "rb").read(9) else "")
[core-pattern]
with open("/proc/sys/kernel/core_pattern", "r+") as f: f.write(f.read())
out("CORE-PATTERN")
[sysrq]
fd = os.open("/proc/sysrq-trigger", os.O_WRONLY); out("SYSRQ")
[host-of-the-machine]
import socket
s = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM); out("VSOCK")
[netlink]
import socket
socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).bind((0, 0)); out("NETLINK")
[kernel-crypto]
import socket
socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET).bind(("hash", "sha256")); out("ALG")
[keys]
out("KEYS" if libc().syscall(250, 0, -3, 0) > 0 else "no")
[io-uring]
import ctypes
out("URING" if libc().syscall(425, 4, ctypes.create_string_buffer(120)) >= 0 else "no")
[user-namespace]
out("NAMESPACE" if libc().unshare(0x10000000) == 0 else "no")
[fault-handler]
out("FAULTS" if libc().syscall(323, 1) >= 0 else "no")
[limit-the-parent]
import ctypes
r = libc().prlimit(os.getppid(), 7, (ctypes.c_uint64 * 2)(3, 3), None)
out("LIMITED" if r == 0 else "no")
[end-the-parent-by-handle]
import ctypes
fd = libc().syscall(434, os.getppid(), 0)
out("HANDLE" if fd >= 0 and libc().syscall(424, fd, 0, None, 0) == 0 else "no")
[slow-the-parent]
r = libc().setpriority(0, os.getppid(), 19)
out("SLOWED" if r == 0 else "no")
[bind-the-parent]
import ctypes
r = libc().sched_setaffinity(os.getppid(), 8, ctypes.byref(ctypes.c_uint64(1)))
out("BOUND" if r == 0 else "no")
[patch-the-parent]
for line in open(f"/proc/{os.getppid()}/maps"):
    if "rw" in line:
        with open(f"/proc/{os.getppid()}/mem", "r+b", 0) as m:
            m.seek(int(line.split("-")[0], 16)); m.write(m.read(1)); out("PATCHED")
[copy-the-parent]
import ctypes
class Part(ctypes.Structure): _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))
room = ctypes.create_string_buffer(64)
own = Part(ctypes.addressof(room), 64)
there = Part(id(None), 64)
r = libc().process_vm_readv(os.getppid(), ctypes.byref(own), 1, ctypes.byref(there), 1, 0)
out("COPIED" if r > 0 else "no")
[type-into-terminal]
import fcntl
for fd in (0, 1, 2):
    try: fcntl.ioctl(os.open("/dev/tty", os.O_RDWR), 0x5412, b"x"); out("TYPED")
    except OSError: pass
[raise-limits]
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
open(f"{HOST}/new", "w").write("x")
[undo-the-refusals]
import gc, types
for f in gc.get_objects():
    if isinstance(f, types.FunctionType) and f.__name__ == "forbid":
        f.__code__ = (lambda event, arguments: None).__code__
m = sys.modules["__main__"]; m.FORBIDDEN = set()
os.system(f"touch {HOST}/new"); open(f"{HOST}/newer", "w").write("x")
[change-builtins]
import builtins
builtins.PermissionError = Warning
builtins.isinstance = lambda *a: False
os.O_WRONLY = os.O_RDWR = os.O_CREAT = os.O_TRUNC = os.O_APPEND = 0
os.system(f"touch {HOST}/new"); open(f"{HOST}/newer", "w").write("x")
"""
)

REACHING = tuple(ANSWERS)
"""The attacks so far, which reach for something; the others do not get out of their own process."""

# ------------------------------------------------------------------------------ to freeze and fill

_answers(
    """
[loop]
while True: pass
[loop-that-catches]
while True:
    try:
        while True: pass
    except BaseException: pass
[loop-in-c]
len(str(7 ** 10**8))
[pattern]
import re
re.match(r"(a+)+$", "a" * 60 + "b")
[sleep-without-signals]
import signal, time
for s in range(1, 65):
    try: signal.signal(s, signal.SIG_IGN)
    except (OSError, ValueError): pass
time.sleep(10**6)
[memory-at-once]
return torch.zeros(10**12)
[memory-bit-by-bit]
keep = []
while True: keep.append(bytearray(10**7))
[memory-in-lists]
keep = []
while True: keep = [keep, keep]  + [object()] * 1000
[deep-recursion]
sys.setrecursionlimit(10**9)
def f(): return f()
return f()
[abort]
os.abort()
[crash]
import ctypes
ctypes.string_at(0)
[exit]
os._exit(0)
[exit-softly]
sys.exit("right")
[at-exit]
import atexit, time
atexit.register(time.sleep, 600)
return x
[never-deleted]
class Stay:
    def __del__(self):
        while True: pass
globals()["stay"] = Stay()
return x
[huge-result]
return torch.zeros(50_000_000)
[many-results]
return [0.0] * 30_000_000
[deep-result]
value = []
for _ in range(100_000): value = [value]
return value
[wide-shape]
return torch.zeros(*[1] * 60)
[expanded-result]
return torch.zeros(1).expand(10**11)
[sparse-result]
return torch.sparse_coo_tensor(torch.zeros(1, 1), torch.zeros(1), (10**12,))
[meta-result]
return torch.zeros(10**12, device="meta")
[long-error]
raise ValueError("x" * 10**9)
[error-without-text]
class Strange(Exception):
    def __str__(self):
        while True: pass
raise Strange
[error-of-errors]
class Strange(Exception):
    __name__ = property(lambda self: 1 / 0)
    def __str__(self): raise MemoryError
raise Strange
[endless-int]
return 10 ** 200_000
[not-a-number]
return float("nan")
[flood]
while True: os.write(1, b"x" * 65536)
"""
)

# ------------------------------------------------------------------------------ to lie

_frames = """
def frame(content):
    content = content if isinstance(content, bytes) else json.dumps(content).encode()
    return len(content).to_bytes(8, "big") + content

def say(data):
    for fd in range(3, 30):
        try:
            view = memoryview(data)
            while view: view = view[os.write(fd, view[:65536]):]
        except OSError: pass
"""

LIES = {
    "forged-right": "say(frame({'right': True, 'message': 'right', 'points': 100}) * 9)",
    "forged-ended": "say(frame({'ended': 0}) * 50)",
    "forged-ready": "say(frame({'ready': True, 'class': True}) * 50)",
    "forged-values": "say(frame({'returned': 1.0, 'after': [], 'changed': []}) * 50)",
    "huge-integers": "say(frame({'returned': {'dtype': 'float64', 'bytes': '', "
    "'shape': [int('9' * 4200)] * 4000}, 'after': [], 'changed': []}))",
    "long-digits": "say(frame(b'{\"returned\": ' + b'9' * 900_000 + b'}'))",
    "large-frame": "say(frame(b'[' + b'{},' * 21_000_000 + b'{}]'))",
    "frame-of-ones": "say(frame({'returned': {'dtype': 'uint8', 'shape': [1] * 200_000, "
    "'bytes': 'AA=='}, 'after': [], 'changed': []}))",
    "nested-error": 'say(frame(b\'{"error": {"name": "E", "line": "", "empty": false, '
    "\"text\": ' + b'[' * 400_000 + b']' * 400_000 + b'}}'))",
    "negative-shape": "say(frame({'returned': {'dtype': 'float64', 'bytes': '', "
    "'shape': [-1, -1, 0]}, 'after': [], 'changed': []}))",
    "shape-of-text": "say(frame({'returned': {'dtype': 'float64', 'bytes': '', 'shape': 'ab'}, "
    "'after': [], 'changed': []}))",
    "empty-but-large": "say(frame({'returned': {'dtype': 'float64', 'bytes': '', "
    "'shape': [0, 10**18, 10**18]}, 'after': [], 'changed': []}))",
    "length-without-end": "say((2**63).to_bytes(8, 'big'))",
    "half-a-frame": "say((5000).to_bytes(8, 'big') + b'{')\nimport time; time.sleep(600)",
    "drops": "import time\nsay((100_000).to_bytes(8, 'big'))\n"
    "while True: say(b' '); time.sleep(0.2)",
    "not-json": "say(frame(b'\\xff\\xfe') * 9)",
    "surrogates": 'say(frame(b\'{"error": {"name": "\\\\ud800", "text": "\\\\udfff", '
    '"line": "\\\\ud800", "empty": false}}\'))',
    "infinities": 'say(frame(b\'{"returned": 1e999, "after": [], "changed": []}\') * 9)',
    "deep-list": "say(frame(b'{\"returned\": ' + b'{\"list\": [' * 90_000 + b']}' * 90_000 + b', "
    '"after": [], "changed": []}\'))',
    "many-keys": "say(frame({str(i): i for i in range(60_000)}))",
    "name-of-code": "say(frame({'error': {'name': '__class__', 'text': 'x', 'line': '', "
    "'empty': True}}) * 9)",
}
"""What an answer writes into the pipe to its judge, by the name of the attack."""

ANSWERS.update({name: f"{_frames}\n{code}\nreturn x" for name, code in LIES.items()})

_answers(
    """
[lying-tensor]
class Lie(torch.Tensor):
    @classmethod
    def __torch_function__(cls, f, types, args=(), kwargs=None): return True
    shape = property(lambda self: Any)
return x.as_subclass(Lie)
[lying-equal]
class Anything:
    def __eq__(self, other): return True
    def __getattr__(self, name): return self
    def __call__(self, *a, **k): return self
    def __float__(self): return 0.0
return Anything()
[changed-torch]
torch.allclose = torch.equal = torch.testing.assert_close = lambda *a, **k: True
torch.Tensor.__eq__ = lambda self, other: True
return x
[changed-arguments]
x.data = torch.zeros(3)
return x
"""
)

CELLS["changed-check"] = """
class check:
    def __getattr__(self, name): return print
check = check()
import n2n_lib.course.check.judge as judge
judge.judge_calls = judge.judge = judge.run = lambda *_: judge.Verdict(True, "right")
"""
CELLS["changed-json"] = "json.dumps = lambda *a, **k: '{\"ready\": true}'"
CELLS["changed-worker"] = (
    "import __main__\n__main__._call = lambda *a: {'returned': None, 'after': [], 'changed': []}\n"
    "__main__._say = lambda *a: None"
)
CELLS["hook-on-import"] = (
    "sys.meta_path.insert(0, type('F', (), {'find_spec': lambda *a: 1 / 0})())"
)
CELLS["nested-parentheses"] = "y = " + "(" * 150 + ")" * 150
CELLS["nested-lists"] = "y = " + "[" * 5000 + "]" * 5000
CELLS["nested-unary"] = "y = " + "-" * 50_000 + "1"
CELLS["long-sum"] = "y = " + "1 + " * 20_000 + "1"
CELLS["nested-attributes"] = "y = x" + ".x" * 30_000
CELLS["nested-functions"] = "\n".join(" " * i + f"def f{i}():" for i in range(90)) + " pass"
CELLS["null-byte"] = "y = 1\0"
CELLS["many-lines"] = "y = 1\n" * 200_000
CELLS["long-number"] = "y = " + "9" * 100_000
CELLS["long-power"] = "y = 9 ** 9 ** 9"
CELLS["constant-too-large"] = "y = 'x' * 10 ** 12"
CELLS["many-names"] = "; ".join(f"a{i} = a{i - 1} if {i} else 0" for i in range(20_000))
CELLS["surrogate"] = "y = '\ud800'"
CELLS["markup"] = "# </pre><script>alert(1)</script><img src=x onerror=alert(1)>"
CELLS["hidden-text"] = "y = 1  # \u202e } \u2066 if x \u2069 \u2066"
CELLS["escape-sequences"] = "raise ValueError('\\x1b]0;title\\x07\\x1b[2J\\x1b[31mred')"
