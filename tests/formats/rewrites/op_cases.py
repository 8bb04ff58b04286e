"""Ops that a format lacks or gets wrong, by the rewrite that mends them."""

from typing import Any

import numpy as np
import tensorflow as tf

from tests.formats.rewrites.one_op import Case

m = tf.math
TFLITE, ONNX = ("tflite",), ("onnx",)
TABLE = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)


def error_functions(x: Any) -> Any:
    return {"erf": m.erf(x * 2), "erfc": m.erfc(x * 3), "gelu": tf.nn.gelu(x, approximate=False)}


def quantiles(x: Any) -> Any:
    inside = tf.tanh(x) * 0.999
    return {"erfinv": m.erfinv(inside), "ndtri": m.ndtri(tf.sigmoid(x)), "zero": m.erfinv(x * 0.0)}


def trigonometry(x: Any) -> Any:
    inside = tf.tanh(x) * 0.9
    return {
        **{function.__name__: function(x) for function in (m.tan, m.sinh, m.cosh, m.asinh, m.atan)},
        **{function.__name__: function(inside) for function in (m.asin, m.acos, m.atanh)},
        "acosh": m.acosh(1.1 + tf.abs(x)),
        "small": m.sinh(x * 1e-4) * 1e4,
        "edges": m.acos(tf.clip_by_value(x * 9.0, -1.0, 1.0)),
    }


def near_one(x: Any) -> Any:
    positive = tf.nn.relu(x)
    return {
        "log1p": m.log1p(tf.abs(x)),
        "small": m.log1p(x * 1e-6) * 1e6,
        "expm1": m.expm1(x),
        "tiny": m.expm1(x * 1e-6) * 1e6,
        "xlogy": m.xlogy(positive, positive),
        "xlog1py": m.xlog1py(positive, positive),
        "xdivy": m.xdivy(positive, positive),
        "no_nan": m.multiply_no_nan(x / positive, positive),
    }


def counting(x: Any) -> Any:
    ids = tf.cast(tf.abs(x) * 2.0, tf.int32)
    ordered = tf.sort(x)
    return {
        "bucket": tf.raw_ops.Bucketize(input=x, boundaries=[-1.0, 0.0, 0.5]),
        "bucket_of_whole": tf.raw_ops.Bucketize(input=ids, boundaries=[1.0, 2.0]),
        "lower": tf.searchsorted(ordered, x),
        "upper": tf.searchsorted(ordered, x, side="right"),
        "count": m.bincount(ids, minlength=3, maxlength=3, axis=-1),
        "binary": m.bincount(ids, minlength=9, maxlength=9, axis=-1, binary_output=True),
        "weighted": m.bincount(ids, weights=x, minlength=9, maxlength=9, axis=-1),
        "in_top": m.in_top_k(ids[:, 0] % 4, x, 2),
    }


def running(x: Any) -> Any:
    return {
        "product": m.cumprod(x, 1),
        "backwards": m.cumprod(x, 1, exclusive=True, reverse=True),
        "down": m.cumprod(tf.transpose(x), 0, exclusive=True),
        "log_sum": m.cumulative_logsumexp(x * 20.0, 1),
        "log_sum_back": m.cumulative_logsumexp(x, -1, reverse=True),
    }


def pooling(x: Any) -> Any:
    return {
        "max": tf.nn.max_pool3d(x, 2, 2, "SAME"),
        "average": tf.nn.avg_pool3d(x, (3, 2, 3), (2, 1, 2), "SAME"),
        "valid": tf.nn.avg_pool3d(x, 3, 1, "VALID"),
    }


def einsum(x: Any) -> Any:
    cube = tf.stack([x, x * 2.0], 1)
    return {
        "rows": tf.einsum("...i,ij->...j", cube, TABLE),
        "bilinear": tf.einsum("bi,ij,bj->b", x, TABLE, x),
        "outer": tf.einsum("bi,bj->bij", x, x),
        "sum": tf.einsum("bij->j", cube),
        "turned": tf.einsum("bij->jib", cube),
        "trace": tf.einsum("bii->b", x[:, :, None] * x[:, None, :]),
        "diagonal": tf.einsum("bii->bi", x[:, :, None] * TABLE),
        "heads": tf.einsum("bthe,bshe->bhts", tf.reshape(cube, (-1, 2, 2, 2)), tf.reshape(cube, (-1, 2, 2, 2))),
        "scalar": tf.einsum("bi,bi->", x, x),
    }


def segments(x: Any) -> Any:
    turned, ids = tf.transpose(x), [0, 0, 2, 3]
    sparse = (turned, [0, 2, 1, 1], [0, 0, 1, 3])
    names = ("sum", "mean", "max", "min", "prod")
    return {
        **{name: getattr(m, f"segment_{name}")(turned, ids) for name in names},
        "sparse_mean": tf.sparse.segment_mean(*sparse),
        "sparse_root": tf.sparse.segment_sqrt_n(*sparse, num_segments=6),
        "sparse_sum": tf.sparse.segment_sum(*sparse, num_segments=5),
    }


def unsorted_segments(x: Any) -> Any:
    turned, ids = tf.transpose(x), [0, 2, 0, -1]
    whole = tf.cast(turned * 9.0, tf.int32)
    return {
        "max": m.unsorted_segment_max(turned, ids, 4),
        "min": m.unsorted_segment_min(turned, ids, 3),
        "sum": m.unsorted_segment_sum(turned, ids, 3),
        "of_whole": m.unsorted_segment_max(whole, ids, 4),
    }


CASES = (
    Case("error_functions", error_functions, needed=TFLITE),
    Case("quantiles", quantiles, tolerance=1e-5),
    Case("trigonometry", trigonometry, needed=TFLITE, tolerance=1e-5),
    Case("near_one", near_one),
    Case("counting", counting),
    Case("running", running, tolerance=1e-5),
    Case("pooling", pooling, (5, 6, 7, 2), needed=TFLITE),
    Case("einsum", einsum, needed=TFLITE),
    Case("segments", segments),
    Case("unsorted_segments", unsorted_segments, needed=ONNX),
)
