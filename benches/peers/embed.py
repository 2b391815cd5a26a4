"""Embed the same texts with the same weights by other means, to have something to compare the service's speed with.

For: the bench of embedding, which runs this and reads the one line of JSON that it prints; and anyone who doubts a
figure. Needs what `provision.py --with-benches` brings:

    PYTHONPATH=.catena/bench-python python3 benches/peers/embed.py --model .catena/models/NAME --texts FILE

Promises: what is timed is named below, and nothing else is timed. The model is loaded, the texts are read and a few of
them are embedded before the clock starts. The tokens that are counted are the texts' own with their marks, no padding.
Does not: check a vector (the service's tests compare them with ONNX Runtime's own), pick settings that were not asked
for, or fetch anything.

nothing said: as people do it. Tokenise, sort by length, run padded batches on N threads of one session, pool, normalise;
    all of that is timed.
--bare: the least that the machine needs. N threads, each with a session of its own, which has one thread and never spins;
    one text a run, tokenised before. Only the runs are timed.
--sentence-transformers: that library's `encode`, on N threads of torch, with the weights of an fp32 model. Skipped where
    it is not installed: this project does not bring it.
"""

import argparse
import importlib.util
import itertools
import json
import resource
import sys
import tempfile
import threading
import time
import tomllib
from pathlib import Path

WARM_UP_TEXTS = 8
OUTPUT = "last_hidden_state"


class Model:
    """A model's folder, as `catena-model.toml` describes it."""

    def __init__(self, folder):
        import tokenizers

        self.folder = folder
        self.description = tomllib.loads((folder / "catena-model.toml").read_text("utf-8"))
        if self.description["pooling"] != "mean":
            raise ValueError(f"pooling is {self.description['pooling']}, only mean is known here")
        self.tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(self.description["max_tokens"])

    def tokens(self, texts):
        return [encoding.ids for encoding in self.tokenizer.encode_batch(texts)]

    def session(self, threads, spins):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        if not spins:
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        path = str(self.folder / "model.onnx")
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def inputs(batch):
    """What the graph takes, padded to the longest text of the batch."""
    import numpy

    ids = numpy.zeros((len(batch), max(map(len, batch))), dtype=numpy.int64)
    mask = numpy.zeros_like(ids)
    for row, tokens in enumerate(batch):
        ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": numpy.zeros_like(ids)}


def pooled(states, mask, normalise):
    """One vector a text: the mean over its tokens, of length one if the model says so."""
    import numpy

    counts = mask[:, :, None].astype(numpy.float32)
    vectors = (states * counts).sum(axis=1) / counts.sum(axis=1)
    return vectors / numpy.linalg.norm(vectors, axis=1, keepdims=True) if normalise else vectors


def embed(model, session, texts, batch):
    """The vectors of the texts, in their order, and how many tokens they have."""
    tokens = model.tokens(texts)
    order = sorted(range(len(texts)), key=lambda place: len(tokens[place]), reverse=True)
    vectors = [None] * len(texts)
    for start in range(0, len(order), batch):
        places = order[start : start + batch]
        feed = inputs([tokens[place] for place in places])
        states = session.run([OUTPUT], feed)[0]
        for place, vector in zip(places, pooled(states, feed["attention_mask"], model.description["normalise"])):
            vectors[place] = vector
    return vectors, sum(map(len, tokens))


def as_people_do(model, texts, arguments):
    session = model.session(arguments.threads, spins=True)
    embed(model, session, texts[:WARM_UP_TEXTS], arguments.batch)
    start = time.perf_counter()
    _, tokens = embed(model, session, texts, arguments.batch)
    return tokens, time.perf_counter() - start


def bare(model, texts, arguments):
    """The longest texts go first, so that the threads end together."""
    tokens = sorted(model.tokens(texts), key=len, reverse=True)
    feeds = [inputs([ids]) for ids in tokens]
    taken = itertools.count()
    sessions = [model.session(1, spins=False) for _ in range(arguments.threads)]
    for session in sessions:
        for feed in feeds[:WARM_UP_TEXTS]:
            session.run([OUTPUT], feed)
    failures = []

    def work(session):
        try:
            while (place := next(taken)) < len(feeds):
                session.run([OUTPUT], feeds[place])
        except Exception as error:  # a thread's failure would else be a good figure
            failures.append(error)

    threads = [threading.Thread(target=work, args=(session,)) for session in sessions]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - start
    if failures:
        raise failures[0]
    return sum(map(len, tokens)), seconds


def original_tensors(folder):
    """The weights as they were before the export, by name: there the matrices of dense layers are transposed."""
    import numpy

    content = (folder / "weights.safetensors").read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    for name, entry in json.loads(content[8:start]).items():
        if entry["dtype"] != "F32":  # the positions, which the original has no weight for
            continue
        begin, end = entry["data_offsets"]
        array = numpy.frombuffer(content[start + begin : start + end], dtype="<f4").reshape(entry["shape"])
        is_dense = array.ndim == 2 and "embeddings" not in name
        yield name, array.T if is_dense else array


def write_original(model, folder):
    """A folder that sentence-transformers opens, with the weights of an fp32 model."""
    header, blocks, end = {}, [], 0
    for name, array in original_tensors(model.folder):
        block = array.tobytes("C")
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [end, end + len(block)]}
        blocks.append(block)
        end += len(block)
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    (folder / "model.safetensors").write_bytes(b"".join([len(text).to_bytes(8, "little"), text, *blocks]))
    (folder / "tokenizer.json").write_bytes((model.folder / "tokenizer.json").read_bytes())
    width = model.description["dimension"]
    config = {"architectures": ["BertModel"], "model_type": "bert", "vocab_size": 30522, "hidden_size": width}
    config |= {"num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 4 * width, "hidden_act": "gelu"}
    config |= {"max_position_embeddings": 512, "type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 0}
    modules = [("0", "", "Transformer"), ("1", "1_Pooling", "Pooling"), ("2", "2_Normalize", "Normalize")]
    described = {
        "config.json": config,
        "tokenizer_config.json": {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 512},
        "sentence_bert_config.json": {"max_seq_length": model.description["max_tokens"], "do_lower_case": False},
        "1_Pooling/config.json": {"word_embedding_dimension": width, "pooling_mode_mean_tokens": True},
        "modules.json": [
            {"idx": int(name), "name": name, "path": path, "type": f"sentence_transformers.models.{kind}"}
            for name, path, kind in modules
        ],
    }
    for path in ("1_Pooling", "2_Normalize"):
        (folder / path).mkdir()
    for name, content in described.items():
        (folder / name).write_text(json.dumps(content), "utf-8")


def with_sentence_transformers(model, texts, arguments):
    import sentence_transformers
    import torch

    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        write_original(model, Path(folder))
        encoder = sentence_transformers.SentenceTransformer(folder, device="cpu")
    encoder.encode(texts[:WARM_UP_TEXTS], batch_size=arguments.batch, show_progress_bar=False)
    start = time.perf_counter()
    encoder.encode(texts, batch_size=arguments.batch, show_progress_bar=False)
    seconds = time.perf_counter() - start
    return sum(map(len, model.tokens(texts))), seconds


def measure(arguments):
    """The line to print."""
    peer, run = "onnxruntime", as_people_do
    if arguments.bare:
        peer, run = "bare", bare
    if arguments.sentence_transformers:
        peer, run = "sentence-transformers", with_sentence_transformers
        if importlib.util.find_spec("sentence_transformers") is None:
            return {"peer": peer, "skipped": "not installed"}
    model = Model(arguments.model)
    if arguments.sentence_transformers and model.description["precision"] != "fp32":
        return {"peer": peer, "skipped": f"the model is {model.description['precision']}, it takes fp32"}
    with open(arguments.texts, encoding="utf-8") as file:
        texts = [json.loads(line) for line in file if line.strip()]
    if not texts:
        raise ValueError(f"{arguments.texts} has no text")
    tokens, seconds = run(model, texts, arguments)
    return {
        "peer": peer,
        "tokens": tokens,
        "seconds": round(seconds, 6),
        "tokens_per_second": round(tokens / seconds, 1),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="a model's folder, as provision.py makes it")
    parser.add_argument("--texts", type=Path, required=True, help="JSON lines, a string each")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32, help="texts in a padded batch")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--bare", action="store_true", help="only the runs, one text each, a session a thread")
    mode.add_argument("--sentence-transformers", action="store_true", help="by that library, if it is installed")
    arguments = parser.parse_args()
    if arguments.threads < 1 or arguments.batch < 1:
        parser.error("--threads and --batch must be at least 1")
    try:
        line = measure(arguments)
    except (OSError, ValueError, KeyError) as error:
        print(f"cannot measure: {error}", file=sys.stderr)
        return 1
    print(json.dumps(line))
    return 0


if __name__ == "__main__":
    sys.exit(main())
