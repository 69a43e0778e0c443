"""Recordings of machines, written from the formats of /proc, sysfs, df and sysctl; the detector is judged on them."""

from __future__ import annotations

from sage_infer_contracts.probe import CommandResult, ProbeRecording

GIB = 2**30


def x86_numa(*, sockets: int = 2, cores: int = 4, gib_per_node: int = 64) -> ProbeRecording:
    """A server with two threads a core and one NUMA node a socket; siblings are cpu N and N + half."""
    half = sockets * cores
    files: dict[str, str | None] = {
        "/proc/sys/kernel/arch": "x86_64\n",
        "/proc/cpuinfo": "\n\n".join(_x86_block(cpu, half, cores) for cpu in range(2 * half)) + "\n",
        "/sys/devices/system/cpu/online": f"0-{2 * half - 1}\n",
        "/proc/self/status": f"Name:\tpython\nCpus_allowed:\tffff\nCpus_allowed_list:\t0-{2 * half - 1}\n",
        "/proc/self/cgroup": "0::/user.slice\n",
        "/proc/meminfo": _meminfo(sockets * gib_per_node, sockets * gib_per_node - 8),
        "/proc/mounts": (
            "proc /proc proc rw 0 0\n/dev/nvme0n1p2 / ext4 rw,relatime 0 0\n"
            "/dev/sda1 /mnt/big\\040disk xfs rw 0 0\n/dev/nvme0n1p2 /var/bind ext4 rw 0 0\n"
            "/dev/loop3 /snap/core squashfs ro 0 0\n/dev/sdb1 /mnt/readonly ext4 ro 0 0\n"
        ),
        "/sys/block/nvme0n1/queue/rotational": "0\n",
        "/sys/block/sda/queue/rotational": "1\n",
    }
    for cpu in range(2 * half):
        twins = f"{cpu % half},{cpu % half + half}\n"
        files[f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"] = twins
    for node in range(sockets):
        first = node * cores
        base = f"/sys/devices/system/node/node{node}"
        files[f"{base}/cpulist"] = f"{first}-{first + cores - 1},{first + half}-{first + half + cores - 1}\n"
        files[f"{base}/meminfo"] = f"Node {node} MemTotal:       {gib_per_node * 2**20} kB\n"
        files[f"{base}/distance"] = (
            " ".join("10" if other == node else "21" for other in range(sockets)) + "\n"
        )
    return ProbeRecording(
        files=files,
        directories={
            "/sys/devices/system/node": ("has_cpu", "online", *(f"node{node}" for node in range(sockets))),
            "/sys/block": ("loop3", "nvme0n1", "sda", "sdb"),
        },
        commands={
            "df -Pk /": _df("/dev/nvme0n1p2", 500, 120, "/"),
            "df -Pk /mnt/big disk": _df("/dev/sda1", 4000, 3000, "/mnt/big disk"),
        },
        note="generated: x86 server",
    )


def arm(*, cpus: int = 8, gib: int = 16) -> ProbeRecording:
    """An ARM board: no model name, no core ids in cpuinfo, no affinity given."""
    block = (
        "processor\t: {}\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd asimdhp asimddp bf16\n"
        "CPU implementer\t: 0x48\nCPU part\t: 0xd01\n"
    )
    files: dict[str, str | None] = {
        "/proc/cpuinfo": "\n".join(block.format(cpu) for cpu in range(cpus)),
        "/sys/devices/system/cpu/online": f"0-{cpus - 1}",
        "/proc/meminfo": _meminfo(gib, gib - 1),
    }
    for cpu in range(cpus):
        files[f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"] = f"{cpu}\n"
    return ProbeRecording(files=files, note="generated: ARM board")


def container(*, version: int = 2) -> ProbeRecording:
    """The x86 server seen from a container with 1.5 CPUs, 4 of its CPUs allowed, and 2 GiB of memory."""
    base = x86_numa()
    files = dict(base.files)
    files["/proc/self/status"] = "Cpus_allowed_list:\t0-1,8-9\n"
    if version == 2:
        group = "/sys/fs/cgroup"
        files |= {
            "/proc/self/cgroup": "0::/\n",
            f"{group}/cpu.max": "150000 100000\n",
            f"{group}/memory.max": f"{2 * GIB}\n",
            f"{group}/memory.current": f"{GIB}\n",
            f"{group}/memory.stat": f"anon 5\ninactive_file {GIB // 2}\n",
        }
    else:
        files |= {
            # The host's path, which does not exist inside the container.
            "/proc/self/cgroup": "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n",
            "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "150000\n",
            "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2 * GIB}\n",
            "/sys/fs/cgroup/memory/memory.usage_in_bytes": f"{GIB}\n",
            "/sys/fs/cgroup/memory/memory.stat": f"total_inactive_file {GIB // 2}\n",
        }
    files["/proc/mounts"] = "overlay / overlay rw,relatime 0 0\n"
    return base.model_copy(
        update={
            "files": files,
            "commands": {"df -Pk /": _df("overlay", 100, 40, "/")},
            "note": "generated: container",
        }
    )


def mac() -> ProbeRecording:
    """A machine without /proc and /sys that answers sysctl."""
    answers = {
        "sysctl -n hw.logicalcpu": "10\n",
        "sysctl -n hw.physicalcpu": "10\n",
        "sysctl -n hw.memsize": f"{32 * GIB}\n",
        "sysctl -n machdep.cpu.brand_string": "Some M chip\n",
        "uname -m": "arm64\n",
    }
    return ProbeRecording(
        files={"/proc/cpuinfo": None, "/proc/meminfo": None, "/proc/mounts": None},
        directories={"/sys/devices/system/node": None},
        commands={key: CommandResult(stdout=text, exit_status=0) for key, text in answers.items()},
        note="generated: no /proc",
    )


def _x86_block(cpu: int, half: int, cores: int) -> str:
    core = cpu % half
    return (
        f"processor\t: {cpu}\nvendor_id\t: GenuineIntel\nmodel name\t: Some Xeon @ 2.00GHz\n"
        f"physical id\t: {core // cores}\nsiblings\t: {2 * cores}\ncore id\t\t: {core % cores}\ncpu cores\t: {cores}\n"
        "flags\t\t: fpu avx2 avx512f avx512_vnni avx512_bf16"
    )


def _meminfo(total_gib: int, available_gib: int) -> str:
    return (
        f"MemTotal:       {total_gib * 2**20} kB\nMemFree: 5 kB\nMemAvailable:   {available_gib * 2**20} kB\n"
    )


def _df(device: str, gib: int, free_gib: int, path: str) -> CommandResult:
    row = f"{device} {gib * 2**20} {(gib - free_gib) * 2**20} {free_gib * 2**20} 50% {path}"
    head = "Filesystem     1024-blocks      Used Available Capacity Mounted on"
    return CommandResult(stdout=f"{head}\n{row}\n", exit_status=0)
