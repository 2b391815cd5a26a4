"""Search the same vectors and texts by others' indexes, to have something to compare the service's index with.

For: the bench of the index, which starts this, writes one command of JSON a line to it and reads one line for each. Needs
what `provision.py --with-benches` brings; what is not installed is answered with {"skipped": why}.

Promises: searching runs on one thread. What is timed is the search of all queries given at once (mean), then of one after
the other (p50, p99); where an index takes one at a time only, the mean is of those. Nothing else is timed. Vectors are of
length one, so the inner product is the cosine. An index that was built is kept in the cache with the time that it took.
Does not: judge an answer (the bench does, all alike), tune anything but the effort that it is asked for, or fetch anything.
"""

import json
import math
import os
import sys
import time
import traceback
from pathlib import Path

THREADS = os.cpu_count()
ROWS_AT_ONCE = 16_384
LINKS, BUILD_EFFORT = 16, 200
EFFORTS = [10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256, 320, 400]


def vectors(path, dimension):
    import numpy

    return numpy.memmap(path, dtype="<f4", mode="r").reshape(-1, dimension)


class Hnswlib:
    efforts = EFFORTS

    def __init__(self, dimension):
        import hnswlib

        self.index = hnswlib.Index(space="ip", dim=dimension)

    def build(self, rows):
        self.index.init_index(max_elements=len(rows), M=LINKS, ef_construction=BUILD_EFFORT, random_seed=100)
        for start in range(0, len(rows), ROWS_AT_ONCE):
            self.index.add_items(rows[start : start + ROWS_AT_ONCE], num_threads=THREADS)

    def save(self, path):
        self.index.save_index(str(path))

    def load(self, path):
        self.index.load_index(str(path))

    def search(self, queries, limit, effort):
        self.index.set_ef(max(effort, limit))
        return self.index.knn_query(queries, k=limit, num_threads=1)[0]


class Usearch:
    efforts = EFFORTS

    def __init__(self, dimension, dtype):
        from usearch.index import Index

        self.index = Index(
            ndim=dimension,
            metric="cos",
            dtype=dtype,
            connectivity=LINKS,
            expansion_add=BUILD_EFFORT,
        )

    def build(self, rows):
        import numpy

        for start in range(0, len(rows), ROWS_AT_ONCE):
            part = numpy.ascontiguousarray(rows[start : start + ROWS_AT_ONCE])
            self.index.add(numpy.arange(start, start + len(part)), part, threads=THREADS)

    def save(self, path):
        self.index.save(str(path))

    def load(self, path):
        self.index.load(str(path))

    def search(self, queries, limit, effort):
        self.index.expansion_search = effort
        return self.index.search(queries, limit, threads=1).keys.reshape(len(queries), -1)


class Faiss:
    """An index by faiss's own name for it, and the parameter by which it tries harder."""

    def __init__(self, dimension, factory, parameter, efforts):
        import faiss

        self.faiss = faiss
        self.index = faiss.index_factory(dimension, factory, faiss.METRIC_INNER_PRODUCT)
        self.parameter, self.efforts = parameter, efforts

    def build(self, rows):
        import numpy

        self.faiss.omp_set_num_threads(THREADS)
        if self.parameter == "efSearch":
            self.index.hnsw.efConstruction = BUILD_EFFORT
        if not self.index.is_trained:
            step = max(1, len(rows) // 100_000)
            self.index.train(numpy.ascontiguousarray(rows[::step]))
        for start in range(0, len(rows), ROWS_AT_ONCE):
            self.index.add(numpy.ascontiguousarray(rows[start : start + ROWS_AT_ONCE]))

    def save(self, path):
        self.faiss.write_index(self.index, str(path))

    def load(self, path):
        self.index = self.faiss.read_index(str(path))

    def search(self, queries, limit, effort):
        self.faiss.omp_set_num_threads(1)
        if self.parameter:
            self.faiss.ParameterSpace().set_index_parameter(self.index, self.parameter, effort)
        return self.index.search(queries, limit)[1]


PROBES = [1, 2, 4, 8, 16, 32, 64, 128, 256]
PEERS = {
    "hnswlib": lambda dimension, _: Hnswlib(dimension),
    "usearch f32": lambda dimension, _: Usearch(dimension, "f32"),
    "usearch i8": lambda dimension, _: Usearch(dimension, "i8"),
    "faiss HNSW": lambda dimension, _: Faiss(dimension, f"HNSW{LINKS}", "efSearch", EFFORTS),
    "faiss IVF": lambda dimension, rows: Faiss(dimension, f"IVF{4 * math.isqrt(rows)},Flat", "nprobe", PROBES),
    "faiss flat": lambda dimension, _: Faiss(dimension, "Flat", None, [0]),
}


class Bench:
    """What the commands are about: at most one index, open."""

    def __init__(self):
        self.peer, self.dimension = None, None

    def truth(self, command):
        """How near the last of the nearest rows is to each query: exact, a block of rows after the other."""
        import numpy

        dimension, limit = command["dimension"], command["limit"]
        rows, queries = vectors(command["rows"], dimension), vectors(command["queries"], dimension)
        limit = min(limit, len(rows))
        best = numpy.full((len(queries), limit), -numpy.inf, dtype=numpy.float32)
        for start in range(0, len(rows), ROWS_AT_ONCE):
            near = queries @ rows[start : start + ROWS_AT_ONCE].T
            both = numpy.concatenate([best, near], axis=1)
            best = numpy.partition(both, -limit, axis=1)[:, -limit:]
        return {"wanted": [limit] * len(queries), "least": best.min(axis=1).tolist()}

    def open(self, command):
        """Builds the index of the rows, or takes the one that was built before."""
        rows = vectors(command["rows"], command["dimension"])
        self.dimension = command["dimension"]
        self.peer = PEERS[command["peer"]](self.dimension, len(rows))
        path = Path(command["cache"]) / f"{command['peer'].replace(' ', '-')}-{len(rows)}.index"
        took = path.with_suffix(".json")
        if took.exists():
            self.peer.load(path)
        else:
            print(f"{command['peer']} builds an index of {len(rows)} rows", file=sys.stderr)
            start = time.perf_counter()
            self.peer.build(rows)
            seconds = time.perf_counter() - start
            self.peer.save(path)
            took.write_text(json.dumps({"build_seconds": seconds}), "utf-8")
        facts = json.loads(took.read_text("utf-8"))
        return {**facts, "bytes": path.stat().st_size, "efforts": self.peer.efforts}

    def round(self, command):
        """All queries at once, then one after the other."""
        import numpy

        queries = numpy.ascontiguousarray(vectors(command["queries"], self.dimension))
        limit, effort = command["limit"], command["effort"]
        start = time.perf_counter()
        found = self.peer.search(queries, limit, effort)
        mean = (time.perf_counter() - start) / len(queries)
        times = []
        for query in queries:
            one = query[None, :]
            start = time.perf_counter()
            self.peer.search(one, limit, effort)
            times.append(time.perf_counter() - start)
        return {**quantiles(times), "mean_ms": mean * 1e3, "found": numbers(found)}


def quantiles(times):
    times = sorted(times)
    at = [times[min(int(share * len(times)), len(times) - 1)] * 1e3 for share in (0.5, 0.99)]
    return {"mean_ms": sum(times) / len(times) * 1e3, "p50_ms": at[0], "p99_ms": at[1]}


def numbers(found):
    """Rows' numbers by query; some peers fill what they did not find with -1."""
    return [[int(row) for row in rows if row >= 0] for rows in found]


def main():
    bench = Bench()
    does = {"truth": bench.truth, "open": bench.open, "round": bench.round}
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = does[command["do"]](command)
        except ModuleNotFoundError as error:
            answer = {"skipped": f"the Python package {error.name} is not installed"}
        except Exception as error:  # whatever it is, whoever asked must hear of it
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
