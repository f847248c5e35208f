"""Starts each server in turn on loopback, loads it with wrk and prints what one request costs the server.

The figure to trust on a shared machine is the server's CPU time per request: utime + stime of its process tree over the
requests answered. Requests a second and latency move with whatever else runs here.

Exit codes: 0 done, 1 a server answered wrongly or failed, 2 wrong use, 3 a tool is missing.
"""

import argparse
import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
HERE = ROOT / "benches"
SAMPLE = ROOT / "samples" / "quickstart"
OUT = HERE / "out"
PATH = "/soap/ClaimService"
TICK = os.sysconf("SC_CLK_TCK")
EXPECTED = {"ClaimNo": "C00012345", "PriorityCd": "2", "FraudFlg": "N", "StatusCd": "OK"}
LOADS = {"small": 64, "60 KB": 8}
# What --check asks for: CPU of `none` over gSOAP's for each load, and durable calls a second at 64 connections.
MOST_RATIO = {"small": 2.5, "60 KB": 1.5}
LEAST_DURABLE = 1500
SERVERS = ["gsoap", "none", "durable"]


class Broken(Exception):
    """A server or a tool did not do what it must; the text says which."""


# Request bodies

def small_body():
    """The sample's good request without indentation, as client libraries send it."""
    text = (SAMPLE / "requests" / "good.xml").read_text("utf-8")
    return re.sub(r">\s+<", "><", text).strip()


def large_body(size=60_000):
    """The same claim with a long story and as many lines as fill the size; its sum still is the reserve."""
    text = small_body()
    story = ("A pipe burst on the upper floor and the water came down through two ceilings. " * 50)[:3900].strip()
    text = re.sub(r"(<c:Narrative>).*?(</c:Narrative>)", rf"\g<1>{story}\g<2>", text, flags=re.S)
    line = "<c:Line><c:Type>{}</c:Type><c:Amt>1.25</c:Amt></c:Line>"
    frame = len(re.sub(r"<c:Lines>.*</c:Lines>", "", text, flags=re.S).encode())
    count = (size - frame) // len(line.format("B"))
    lines = "".join(line.format("BCR"[at % 3]) for at in range(count))
    cents = 125 * count
    text = re.sub(r"<c:Lines>.*</c:Lines>", f"<c:Lines>{lines}</c:Lines>", text, flags=re.S)
    return re.sub(r"(<c:Reserve[^>]*>).*?(</c:Reserve>)", rf"\g<1>{cents // 100}.{cents % 100:02}\g<2>", text)


# What has to be built

def tool(name, package):
    if shutil.which(name) is None:
        print(f"benches: {name} is missing; apt-get install {package}", file=sys.stderr)
        sys.exit(3)


def command(*words, cwd=None, quiet=True):
    done = subprocess.run(words, cwd=cwd, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE if quiet else None, stderr=subprocess.STDOUT if quiet else None)
    if done.returncode != 0:
        raise Broken(f"{' '.join(map(str, words))} ended with {done.returncode}\n{done.stdout or ''}")


def build_gsoap():
    for name, package in [("wsdl2h", "gsoap"), ("soapcpp2", "gsoap"), ("gcc", "gcc libgsoap-dev")]:
        tool(name, package)
    place = OUT / "gsoap"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    command("wsdl2h", "-c", "-o", "claim.h", "-t", "/usr/share/gsoap/WS/typemap.dat",
            str(SAMPLE / "mappings" / "ClaimService.wsdl"), cwd=place)
    command("soapcpp2", "-c", "-S", "-w", "-x", "-L", "-I/usr/share/gsoap/import", "claim.h", cwd=place)
    command("gcc", "-O2", "-I.", "-o", "gsoap-server", str(HERE / "gsoap" / "server.c"), "soapC.c", "soapServer.c",
            "-lgsoap", "-lpthread", cwd=place)
    return place / "gsoap-server"


def build_ours(given):
    if given:
        return pathlib.Path(given).resolve()
    command("cargo", "build", "--release", "--locked", "--package", "vestibule", cwd=ROOT, quiet=False)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return target / "release" / "vestibule"


def world(mode):
    """The quickstart, copied, so that the benchmark always measures what the reader runs. `none` keeps no jobs."""
    place = OUT / f"world-{mode}"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(SAMPLE, place, ignore=shutil.ignore_patterns("data"))
    if mode == "none":
        edit(place / "mappings" / "claim-triage.map.yaml", r"^version: 1$", "version: 1\ndurability: none")
        edit(place / "vestibule.yaml", r"^store: .*$", "store: none")
    return place


def edit(path, pattern, text):
    changed, count = re.subn(pattern, text, path.read_text("utf-8"), flags=re.M)
    if count != 1:
        raise Broken(f"{path.name} of the sample has changed: {pattern!r} is there {count} times")
    path.write_text(changed, "utf-8")


# Servers

class Server:
    """A running server and what its process tree has used."""

    def __init__(self, name, words, port, log):
        self.name, self.port = name, port
        self.log = open(log, "wb")
        started = time.monotonic()
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.wait(started + 20)
        self.ready_ms = (time.monotonic() - started) * 1000

    def wait(self, until):
        while True:
            if self.process.poll() is not None:
                raise Broken(f"{self.name} ended with {self.process.returncode}; see {self.log.name}")
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 0.2).close()
                return
            if time.monotonic() > until:
                raise Broken(f"{self.name} does not listen on port {self.port}; see {self.log.name}")
            time.sleep(0.002)

    def tree(self):
        """Process ids of the server and of everything it started."""
        parents = {}
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    parents[int(entry.name)] = int(stat_of(entry.name)[1])
        found = {self.process.pid}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return found

    def cpu(self):
        """CPU seconds, of children that have ended too."""
        ticks = 0
        for pid in self.tree():
            with contextlib.suppress(OSError):
                ticks += sum(int(value) for value in stat_of(pid)[11:15])
        return ticks / TICK

    def memory(self):
        """Resident megabytes of the process tree."""
        kilobytes = 0
        for pid in self.tree():
            with contextlib.suppress(OSError):
                status = pathlib.Path(f"/proc/{pid}/status").read_text()
                kilobytes += int((re.search(r"VmRSS:\s+(\d+)", status) or [0, 0])[1])
        return kilobytes / 1024

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            print(f"benches: {self.name} did not end on SIGTERM", file=sys.stderr)
        self.log.close()


def stat_of(pid):
    """Fields of /proc/PID/stat after the name, which may hold spaces: state, parent, …; 11 to 14 are CPU times."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(name, built):
    port = free_port()
    log = OUT / f"{name}.log"
    if name == "gsoap":
        return Server(name, [str(built["gsoap"]), str(port), str(max(LOADS.values()) + 8)], port, log)
    words = [str(built["vestibule"]), "serve", str(world(name)), "--listen", f"127.0.0.1:{port}"]
    return Server(name, words, port, log)


# Measuring

def verify(server, body):
    """One call, so that nobody measures how fast a fault is written."""
    link = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    link.request("POST", PATH, body.encode(), {
        "Content-Type": "text/xml; charset=utf-8",
        "SOAPAction": '"http://acme.example/claims/2009/SubmitClaim"',
    })
    reply = link.getresponse()
    text = reply.read().decode()
    link.close()
    if reply.status != 200:
        raise Broken(f"{server.name} answers {reply.status}: {text[:800]}")
    for name, value in EXPECTED.items():
        if not re.search(rf"<(?:\w+:)?{name}>{value}</", text):
            raise Broken(f"{server.name}: {name} is not {value} in: {text[:800]}")


def wrk(port, connections, seconds, body):
    done = subprocess.run(
        ["wrk", "-t", "2", "-c", str(connections), "-d", f"{seconds}s", "--timeout", "10s", "-s",
         str(HERE / "load.lua"), f"http://127.0.0.1:{port}{PATH}"],
        env=os.environ | {"BENCH_BODY": str(body)}, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    found = re.search(r"^SUMMARY (\{.*\})$", done.stdout, re.M)
    if done.returncode != 0 or not found:
        raise Broken(f"wrk ended with {done.returncode}: {done.stdout}{done.stderr}")
    return json.loads(found[1])


def measure(server, load, seconds):
    body = OUT / f"{load.replace(' ', '')}.xml"
    verify(server, body.read_text("utf-8"))
    connections = LOADS[load]
    wrk(server.port, connections, 1, body)
    before = server.cpu()
    result = wrk(server.port, connections, seconds, body)
    used = server.cpu() - before
    if result["status"] or result["socket"] or not result["requests"]:
        raise Broken(f"{server.name}, {load}: {result['status']} bad replies, {result['socket']} broken connections")
    return {
        "requests_per_second": round(result["requests"] / (result["micros"] / 1e6)),
        "p50_ms": round(result["p50"] / 1000, 2),
        "p99_ms": round(result["p99"] / 1000, 2),
        "cpu_us": round(used * 1e6 / result["requests"], 1),
    }


def run(names, built, rounds, seconds):
    """Rounds are interleaved, so that a slow minute of the machine meets every server."""
    samples, about = {}, {}
    for at in range(rounds):
        for name in names:
            print(f"benches: round {at + 1} of {rounds}, {name}", file=sys.stderr)
            server = start(name, built)
            try:
                time.sleep(0.5)
                about.setdefault(name, {"ready_ms": round(server.ready_ms), "idle_mb": round(server.memory(), 1)})
                for load in LOADS:
                    samples.setdefault((name, load), []).append(measure(server, load, seconds))
                about[name]["loaded_mb"] = round(server.memory(), 1)
            finally:
                server.stop()
    results = {}
    for (name, load), found in samples.items():
        medians = {key: round(statistics.median(sample[key] for sample in found), 2) for key in found[0]}
        results.setdefault(load, {})[name] = medians | {"cpu_us_all": [sample["cpu_us"] for sample in found]}
    for load in results.values():
        peer = load.get("gsoap", {}).get("cpu_us")
        for found in load.values():
            found["cpu_ratio"] = round(found["cpu_us"] / peer, 2) if peer else None
    return {"servers": about, "loads": results}


def show(report):
    sizes = {load: len((OUT / f"{load.replace(' ', '')}.xml").read_bytes()) for load in LOADS}
    for load, servers in report["loads"].items():
        print(f"\n{load}: {sizes[load]} bytes, {LOADS[load]} connections")
        print(f"{'':10}{'requests/s':>12}{'p50 ms':>10}{'p99 ms':>10}{'CPU us':>10}{'ratio':>8}")
        for name, found in servers.items():
            ratio = "" if found["cpu_ratio"] is None else f"{found['cpu_ratio']:.2f}"
            print(f"{name:10}{found['requests_per_second']:>12.0f}{found['p50_ms']:>10}{found['p99_ms']:>10}"
                  f"{found['cpu_us']:>10}{ratio:>8}")
    print()
    for name, found in report["servers"].items():
        print(f"{name}: ready in {found['ready_ms']} ms, {found['idle_mb']} MB idle, {found['loaded_mb']} MB after load")


def missed(report):
    """The bars that the figures do not reach, in words."""
    for load, servers in report["loads"].items():
        ratio = servers.get("none", {}).get("cpu_ratio")
        if ratio is not None and ratio > MOST_RATIO[load]:
            yield f"{load}: {ratio} times gSOAP's CPU, more than {MOST_RATIO[load]}"
    durable = report["loads"]["small"].get("durable", {}).get("requests_per_second")
    if durable is not None and durable < LEAST_DURABLE:
        yield f"small: {durable:.0f} durable requests a second, fewer than {LEAST_DURABLE}"


def main():
    parser = argparse.ArgumentParser(prog="benches/run", description=__doc__.split("\n\n")[0],
                                     epilog="example: benches/run --rounds 5 --seconds 10 --json > result.json")
    parser.add_argument("--only", choices=SERVERS + ["vestibule"], action="append",
                        help="one server: gsoap, none (no store), durable; vestibule means both of ours; may be repeated")
    parser.add_argument("--rounds", type=int, default=3, help="the median of so many rounds is printed (3)")
    parser.add_argument("--seconds", type=int, default=5, help="length of one load (5)")
    parser.add_argument("--binary", help="this vestibule instead of a release build")
    parser.add_argument("--check", action="store_true", help="end with 1 when a bar is missed")
    parser.add_argument("--json", action="store_true", help="JSON on standard output")
    wanted = parser.parse_args()
    if wanted.rounds < 1 or wanted.seconds < 1:
        parser.error("--rounds and --seconds are at least 1")
    only = set(wanted.only or SERVERS)
    if "vestibule" in only:
        only |= {"none", "durable"}
    names = [name for name in SERVERS if name in only]

    tool("wrk", "wrk")
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "small.xml").write_text(small_body(), "utf-8")
    (OUT / "60KB.xml").write_text(large_body(), "utf-8")
    built = {}
    if "gsoap" in names:
        built["gsoap"] = build_gsoap()
    if names != ["gsoap"]:
        built["vestibule"] = build_ours(wanted.binary)
    report = run(names, built, wanted.rounds, wanted.seconds)
    print(json.dumps(report, indent=2)) if wanted.json else show(report)
    bars = list(missed(report)) if wanted.check else []
    for bar in bars:
        print(f"benches: missed: {bar}", file=sys.stderr)
    return 1 if bars else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Broken as cause:
        print(f"benches: {cause}", file=sys.stderr)
        sys.exit(1)
