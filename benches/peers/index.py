"""Search the same vectors and texts by others' indexes, to have something to compare the service's index with.

For: the bench of the index, which starts this, writes one command of JSON a line to it and reads one line for each. Needs
what `provision.py --with-benches` brings; what is not installed is answered with {"skipped": why}.

Promises: searching runs on one thread, but for lancedb, which cannot be told to. What is timed is the search of all queries given at once (`together_ms`, a query's
share of the processor's time), then of one after the other, each a call from Python (`mean_ms` of the processor's time,
p50 and p99 of what passed). Nothing else is timed: filters and queries of words are made before. Vectors are of length one, so the inner product is the cosine. An index that was built is
kept in the cache with the time that it took.
Does not: judge an answer (the bench does, all alike), tune anything but the effort that it is asked for, or fetch anything.
"""

import json
import math
import os
import re
import shutil
import sys
import tempfile
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


    def seen(self, mask):
        return mask.tobytes().__getitem__, int(mask.sum())

    def search_seen(self, queries, limit, effort, seen):
        """Python is called for every row that is met: slow, and all that the package offers."""
        is_seen, count = seen
        self.index.set_ef(max(effort, limit))
        limit = min(limit, count)
        while limit > 0:
            try:
                return self.index.knn_query(queries, k=limit, num_threads=1, filter=is_seen)[0]
            except RuntimeError:  # fewer were found than were asked for
                limit //= 2
        return [[]]


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
        # Of many queries at once, the flat one makes a product of matrices, which is another thing than a search.
        self.together = factory != "Flat"

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

    def seen(self, mask):
        import numpy

        return numpy.packbits(mask, bitorder="little")

    def search_seen(self, queries, limit, effort, seen):
        self.faiss.omp_set_num_threads(1)
        only = self.faiss.IDSelectorBitmap(seen)
        return self.index.search(queries, limit, params=self.faiss.SearchParametersHNSW(sel=only, efSearch=effort))[1]


class Lancedb:
    """A table on the disk with a graph over bytes, its best rescored. Its threads are its own affair."""

    together = False
    # It refuses an effort below the rows that it is to rescore: four for each that is wanted.
    efforts = EFFORTS[EFFORTS.index(40) :]

    def __init__(self, dimension):
        os.environ.setdefault("LANCE_LOG", "error")
        import lancedb

        self.lancedb, self.dimension, self.folder, self.table = lancedb, dimension, tempfile.mkdtemp(), None

    def build(self, rows):
        import pyarrow
        from lancedb.index import HnswSq

        def batch(start):
            part = rows[start : start + ROWS_AT_ONCE]
            numbers = pyarrow.array(range(start, start + len(part)), type=pyarrow.uint32())
            vectors = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(part.ravel()), self.dimension)
            return pyarrow.record_batch([numbers, vectors], names=["number", "vector"])

        batches = (batch(start) for start in range(0, len(rows), ROWS_AT_ONCE))
        self.table = self.lancedb.connect(self.folder).create_table("rows", batches, schema=batch(0).schema)
        graph = HnswSq(distance_type="cosine", num_partitions=1, m=LINKS, ef_construction=BUILD_EFFORT)
        self.table.create_index("vector", config=graph)

    def save(self, path):
        shutil.rmtree(path, ignore_errors=True)
        shutil.move(self.folder, path)
        self.load(path)

    def load(self, path):
        self.table = self.lancedb.connect(path).open_table("rows")

    def search(self, queries, limit, effort):
        return [self.ask(query, limit, effort) for query in queries]

    def ask(self, query, limit, effort):
        asked = self.table.search(query).distance_type("cosine").nprobes(1).ef(effort).refine_factor(4).limit(limit)
        return asked.select(["number", "_distance"]).to_arrow()["number"].to_pylist()


class Tantivy:
    """Texts by their words, in one segment; a query is a union of its words, as the bench's own index takes it."""

    def __init__(self):
        self.index, self.queries = None, None

    def build(self, texts, groups):
        import tantivy

        schema = tantivy.SchemaBuilder()
        schema.add_text_field("body", stored=False, tokenizer_name="en_stem", index_option="freq")
        schema.add_unsigned_field("number", stored=False, indexed=False, fast=True)
        schema.add_unsigned_field("group", stored=False, indexed=True, fast=False)
        self.schema = schema.build()
        self.index = tantivy.Index(self.schema)
        writer = self.index.writer(heap_size=1_000_000_000, num_threads=1)
        for number, (text, group) in enumerate(zip(texts, groups)):
            document = tantivy.Document(body=text)
            document.add_unsigned("number", number)
            document.add_unsigned("group", group)
            writer.add_document(document)
        writer.commit()
        writer.wait_merging_threads()
        self.index.reload()
        self.searcher = self.index.searcher()
        if self.searcher.num_segments != 1:
            raise ValueError(f"tantivy made {self.searcher.num_segments} segments of the texts, one was wanted")

    def prepare(self, queries, group):
        """The queries as objects, under a filter for one group if it is named."""
        from tantivy import Occur, Query

        prepared = []
        for text in queries:
            query, _ = self.index.parse_query_lenient(" ".join(re.findall(r"\w+", text.lower())), ["body"])
            if group is not None:
                only = Query.const_score_query(Query.term_query(self.schema, "group", group), 0.0)
                query = Query.boolean_query([(Occur.Must, only), (Occur.Must, query)])
            prepared.append(query)
        return prepared

    def search(self, query, limit):
        # Counting all matches would keep the engine from passing over what cannot be among the best.
        return self.searcher.search(query, limit, count=False).hits


PROBES = [1, 2, 4, 8, 16, 32, 64, 128, 256]
PEERS = {
    "hnswlib": lambda dimension, _: Hnswlib(dimension),
    "usearch f32": lambda dimension, _: Usearch(dimension, "f32"),
    "usearch i8": lambda dimension, _: Usearch(dimension, "i8"),
    "faiss HNSW": lambda dimension, _: Faiss(dimension, f"HNSW{LINKS}", "efSearch", EFFORTS),
    "faiss IVF": lambda dimension, rows: Faiss(dimension, f"IVF{4 * math.isqrt(rows)},Flat", "nprobe", PROBES),
    "lancedb": lambda dimension, _: Lancedb(dimension),
    "faiss flat": lambda dimension, _: Faiss(dimension, "Flat", None, [0]),
}


class Bench:
    """What the commands are about: at most one index, open."""

    def __init__(self):
        self.peer, self.dimension, self.filters, self.texts = None, None, None, None

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

    def cases(self, command):
        """Filters for some queries, and the exact answers under each: which groups of rows may be seen.

        Once rows belong to groups by chance, once to the nearest of so many rows taken as centres. Shares of the rows are
        seen by chance, nearest to the query and farthest from it: whole groups, as many as reach the share.
        """
        import numpy

        chance = numpy.random.default_rng(command["seed"])
        rows, queries = vectors(command["rows"], command["dimension"]), vectors(command["queries"], command["dimension"])
        count = min(command["groups"], len(rows))
        centres = numpy.array(rows[numpy.sort(chance.choice(len(rows), count, replace=False))])
        blocks = range(0, len(rows), ROWS_AT_ONCE)
        nearest = [(rows[start : start + ROWS_AT_ONCE] @ centres.T).argmax(axis=1) for start in blocks]
        belongs = {"by chance": chance.integers(0, count, len(rows)), "by nearness": numpy.concatenate(nearest)}
        ranks = numpy.argsort(-(queries @ centres.T), axis=1)
        same = numpy.tile(chance.permutation(count), (len(queries), 1))
        orders = {"random": ("by chance", same), "nearest": ("by nearness", ranks), "farthest": ("by nearness", ranks[:, ::-1])}
        cases = [{"name": "everything", "share": 1.0, "belongs": "by chance", "groups": [list(range(count))] * len(queries)}]
        for name, (kind, order) in orders.items():
            sizes = numpy.bincount(belongs[kind], minlength=count)[order].cumsum(axis=1)
            for share in command["shares"]:
                ends = [int(numpy.searchsorted(row, share * len(rows))) + 1 for row in sizes]
                groups = [sorted(row[:end].tolist()) for row, end in zip(order, ends)]
                cases.append({"name": name, "share": share, "belongs": kind, "groups": groups})
        for case in cases:
            case |= exact(rows, queries, belongs[case["belongs"]], case["groups"], count, command["limit"])
        return {"belongs": {kind: groups.tolist() for kind, groups in belongs.items()}, "cases": cases}

    def filtered(self, command):
        """All queries under their filters, one after the other."""
        import numpy

        if self.filters is None:
            self.filters = json.loads(Path(command["cases"]).read_text("utf-8"))
        case = self.filters["cases"][command["case"]]
        belongs = numpy.array(self.filters["belongs"][case["belongs"]])
        queries = vectors(command["queries"], self.dimension)
        times, found = Times(), []
        for query, groups in zip(queries, case["groups"]):
            seen = self.peer.seen(numpy.isin(belongs, groups))
            rows = times.of(self.peer.search_seen, query[None, :], command["limit"], command["effort"], seen)
            found.append(rows[0])
        return {**times.said(), "found": numbers(found)}

    def words(self, command):
        """Builds an index of texts, each in a group."""
        self.texts = Tantivy()
        with open(command["texts"], encoding="utf-8") as file:
            texts = [json.loads(line) for line in file]
        start = time.perf_counter()
        self.texts.build(texts, command["groups"])
        return {"build_seconds": time.perf_counter() - start}

    def ask(self, command):
        """All queries of words, one after the other."""
        with open(command["queries"], encoding="utf-8") as file:
            queries = [json.loads(line) for line in file]
        queries = self.texts.prepare(queries, command["group"])
        times = Times()
        hits = [times.of(self.texts.search, query, command["limit"]) for query in queries]
        addresses = [[address for _, address in some] for some in hits]
        found = [self.texts.searcher.fast_field_values("number", some) for some in addresses]
        return {**times.said(), "found": found}

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
        files = [file for file in [path, *path.rglob("*")] if file.is_file()]
        return {**facts, "bytes": sum(file.stat().st_size for file in files), "efforts": self.peer.efforts}

    def round(self, command):
        """All queries at once, where that is the same work, and one after the other."""
        import numpy

        queries = numpy.ascontiguousarray(vectors(command["queries"], self.dimension))
        limit, effort = command["limit"], command["effort"]
        together = None
        if getattr(self.peer, "together", True):
            start = time.process_time()
            self.peer.search(queries, limit, effort)
            together = (time.process_time() - start) / len(queries) * 1e3
        times = Times()
        found = [times.of(self.peer.search, query[None, :], limit, effort)[0] for query in queries]
        return {**times.said(), "together_ms": together, "found": numbers(found)}


class Times:
    """Of calls: what passed, and what they had of a processor."""

    def __init__(self):
        self.passed, self.processor = [], 0.0

    def of(self, call, *arguments):
        processor, start = time.process_time(), time.perf_counter()
        answer = call(*arguments)
        self.passed.append(time.perf_counter() - start)
        self.processor += time.process_time() - processor
        return answer

    def said(self):
        passed = sorted(self.passed)
        p50, p99 = (passed[min(int(share * len(passed)), len(passed) - 1)] * 1e3 for share in (0.5, 0.99))
        return {"mean_ms": self.processor / len(passed) * 1e3, "p50_ms": p50, "p99_ms": p99}


def exact(rows, queries, belongs, groups, count, limit):
    """How many rows there are to find among those in some groups, query by query, and how near the last of them is."""
    import numpy

    allowed = numpy.zeros((len(queries), count), dtype=bool)
    for query, some in zip(allowed, groups):
        query[some] = True
    best = numpy.full((len(queries), limit), -numpy.inf, dtype=numpy.float32)
    for start in range(0, len(rows), ROWS_AT_ONCE):
        near = queries @ rows[start : start + ROWS_AT_ONCE].T
        near[~allowed[:, belongs[start : start + ROWS_AT_ONCE]]] = -numpy.inf
        best = numpy.partition(numpy.concatenate([best, near], axis=1), -limit, axis=1)[:, -limit:]
    wanted = numpy.isfinite(best).sum(axis=1)
    # Infinity where there is nothing to find: JSON has no word for it, and no cosine reaches 2.
    least = numpy.where(numpy.isfinite(best), best, 2.0).min(axis=1)
    seen = numpy.bincount(belongs, minlength=count) @ allowed.T
    return {"wanted": wanted.tolist(), "least": least.tolist(), "seen": float(seen.mean() / len(rows))}


def numbers(found):
    """Rows' numbers by query; some peers fill what they did not find with -1."""
    return [[int(row) for row in rows if row >= 0] for rows in found]


def main():
    bench = Bench()
    does = {"truth": bench.truth, "cases": bench.cases, "filtered": bench.filtered, "words": bench.words, "ask": bench.ask, "open": bench.open, "round": bench.round}
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
