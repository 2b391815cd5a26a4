"""Write a cross-encoder whose every score can be counted by hand, for tests of reranking.

For: tests that want a real graph behind a reranker and no weights. Promises: the same bytes on every machine; a score is
a whole number of hits less a 128th for every token of the passage, all exact in single precision, so it does not depend
on an order of summing. Does not: understand anything.

Graph: input_ids, attention_mask, token_type_ids (int64, [batch, sequence]) -> logits (float, [batch, 1]): how many of
the query's tokens (type 0) occur among the passage's (type 1), less PENALTY for each of the passage's; marks and padding
count for nothing. Needs `onnx`; run it as `python3 export.py model.onnx`, then correct the hash in catena-model.toml.
"""

import sys

import onnx
from onnx import TensorProto, helper

OPSET = 17  # as the models that provisioning makes
IR_VERSION = 8  # the one that belongs to opset 17
MARKS = {"cls": 101, "sep": 102}  # of the BERT vocabulary that the tokenizer beside it has
PENALTY = 1 / 128  # a power of two: exact


def build():
    """The whole graph, checked by onnx's own checker."""
    constants = [
        helper.make_tensor("zero", TensorProto.INT64, [], [0]),
        helper.make_tensor("one", TensorProto.INT64, [], [1]),
        helper.make_tensor("row", TensorProto.INT64, [1], [1]),
        helper.make_tensor("column", TensorProto.INT64, [1], [2]),
        helper.make_tensor("penalty", TensorProto.FLOAT, [], [PENALTY]),
        *(helper.make_tensor(name, TensorProto.INT64, [], [number]) for name, number in MARKS.items()),
    ]
    nodes = []

    def add(operator, inputs, name, **attributes):
        nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    for name in MARKS:
        add("Equal", ["input_ids", name], f"is_{name}")
    add("Equal", ["attention_mask", "zero"], "is_padding")
    add("Or", ["is_cls", "is_sep"], "is_mark")
    add("Or", ["is_mark", "is_padding"], "is_nothing")
    add("Not", ["is_nothing"], "counts")
    for side, number in (("asked", "zero"), ("given", "one")):
        add("Equal", ["token_type_ids", number], f"is_{side}")
        add("And", [f"is_{side}", "counts"], side)
    # Every token of the query against every token of the passage.
    for name, value, axis in (
        ("ids_down", "input_ids", "column"),
        ("ids_across", "input_ids", "row"),
        ("asked_down", "asked", "column"),
        ("given_across", "given", "row"),
    ):
        add("Unsqueeze", [value, axis], name)
    add("Equal", ["ids_down", "ids_across"], "same")
    add("And", ["asked_down", "given_across"], "pairs")
    add("And", ["same", "pairs"], "hits")
    add("Cast", ["hits"], "hit_numbers", to=TensorProto.FLOAT)
    add("ReduceMax", ["hit_numbers"], "found", axes=[2], keepdims=0)
    add("ReduceSum", ["found", "row"], "found_total", keepdims=1)
    add("Cast", ["given"], "given_numbers", to=TensorProto.FLOAT)
    add("ReduceSum", ["given_numbers", "row"], "length", keepdims=1)
    add("Mul", ["length", "penalty"], "length_penalty")
    add("Sub", ["found_total", "length_penalty"], "logits")

    inputs = ("input_ids", "attention_mask", "token_type_ids")
    graph = helper.make_graph(
        nodes,
        "overlap",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"]) for name in inputs],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 1])],
        constants,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="catena"
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def main():
    if len(sys.argv) != 2:
        print("usage: export.py OUTPUT", file=sys.stderr)
        return 2
    with open(sys.argv[1], "wb") as file:
        file.write(build().SerializeToString(deterministic=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
