"""Small models with the signatures of the real ones: detectors that take red for a person, untrained re-id nets."""

import json

import numpy as np
import tensorflow as tf

from utils.checkpoint import save_weights
from utils.resnet import build_embedding_net

STRIPS = 12  # the detectors look for one person in each of this many vertical strips
BOXES = 100  # returned per frame, as by the zoo's detectors


def red_boxes(images):
    """(1, H, W, 3) uint8 RGB -> the zoo's outputs: a person (0.9) round the red of each strip, a car (0.8) over all."""
    image = tf.cast(images[0], tf.int32)
    height = tf.shape(image)[0]
    width = tf.shape(image)[1]
    red = (image[..., 0] > 180) & (image[..., 1] < 90) & (image[..., 2] < 90)  # (H, W)
    pixels = tf.cast(tf.where(red), tf.int32)  # (K, 2) row and column
    strips = pixels[:, 1] * STRIPS // width  # (K,)
    first = tf.math.unsorted_segment_min(pixels, strips, STRIPS)  # (STRIPS, 2)
    last = tf.math.unsorted_segment_max(pixels, strips, STRIPS) + 1
    found = tf.math.unsorted_segment_max(tf.ones_like(strips), strips, STRIPS) > 0  # (STRIPS,)
    corners = tf.cast(tf.concat([first, last], axis=1), tf.float32)  # (STRIPS, 4) pixels
    people = corners / tf.cast(tf.stack([height, width, height, width]), tf.float32)
    people = tf.where(found[:, tf.newaxis], people, tf.zeros_like(people))
    boxes = tf.concat([[[0.0, 0.0, 1.0, 1.0]], people], axis=0)
    scores = tf.concat([[0.8], tf.where(found, 0.9, 0.0)], axis=0)
    empty = BOXES - 1 - STRIPS
    classes = [3.0] + [1.0] * (STRIPS + empty)
    return {
        "detection_boxes": tf.pad(boxes, [[0, empty], [0, 0]])[tf.newaxis],
        "detection_scores": tf.pad(scores, [[0, empty]])[tf.newaxis],
        "detection_classes": tf.constant([classes]),
        "num_detections": tf.constant([float(BOXES)]),
    }


def write_tf1_detector(folder) -> None:
    """As an export of the TF1 zoo: `inputs` uint8 (N, H, W, 3), loops of TensorFlow 1, weights inside the graph."""
    write_tf1(folder, lambda images: red_boxes(tf.map_fn(lambda image: image, images)))


def write_tf1(folder, detect) -> None:
    """A SavedModel with the graph that `detect` builds in TensorFlow 1: Enter, Merge, Switch, Exit, TensorArrays."""
    v1 = tf.compat.v1
    v1.disable_control_flow_v2()
    try:
        with tf.Graph().as_default(), v1.Session() as session:
            images = v1.placeholder(tf.uint8, [None, None, None, 3], name="image_tensor")
            outputs = detect(images)
            info = v1.saved_model.utils.build_tensor_info
            signature = v1.saved_model.build_signature_def(
                {"inputs": info(images)},
                {name: info(tensor) for name, tensor in outputs.items()},
                "tensorflow/serving/predict",
            )
            builder = v1.saved_model.builder.SavedModelBuilder(str(folder))
            builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature})
            builder.save()
    finally:
        v1.enable_control_flow_v2()


def write_tf2_detector(folder, scale=1.0) -> None:
    """As an export of the TF2 zoo: `input_tensor` uint8 (1, H, W, 3), loops of TensorFlow 2, weights in variables."""

    class Module(tf.Module):
        def __init__(self):
            super().__init__()
            self.scale = tf.Variable(scale)  # of the scores

        @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.uint8, name="input_tensor")])
        def detect(self, input_tensor):
            outputs = red_boxes(tf.map_fn(lambda image: image, input_tensor))
            outputs["detection_scores"] *= self.scale
            return {**outputs, "raw_detection_boxes": outputs["detection_boxes"]}

    module = Module()
    tf.saved_model.save(module, str(folder), signatures=module.detect)


def ssd(images, size=36):
    """(1, H, W, 3) uint8 RGB -> (boxes (1, A, 4), scores (1, A, 91)) as an SSD of the zoo before its suppression.

    Random weights; resized in a loop, normalised to -1..1, with a batch normalisation in each of the zoo's forms.
    """
    rng = np.random.default_rng(3)

    def weights(*shape):
        return tf.constant(rng.normal(0, 1 / np.sqrt(np.prod(shape[:3])), shape), tf.float32)

    def resize(image):
        return tf.raw_ops.ResizeBilinear(images=image[tf.newaxis], size=[size, size])[0]

    resized = tf.map_fn(resize, tf.cast(images, tf.float32))
    x = tf.nn.conv2d(resized * (2 / 255) - 1.0, weights(3, 3, 3, 8), 4, "SAME")
    x = tf.nn.relu6(x * tf.constant(rng.uniform(1, 3, 8), tf.float32) + tf.constant(rng.normal(0, 1, 8), tf.float32))
    x = tf.nn.depthwise_conv2d(x, weights(3, 3, 8, 1), [1, 1, 1, 1], "SAME")
    x = tf.nn.relu6(
        tf.compat.v1.nn.fused_batch_norm(x, *rng.uniform(0.5, 2, (4, 8)).astype(np.float32), is_training=False)[0]
    )

    def predict(x, anchors, columns):  # (1, h, w, 8) -> (1, h * w * anchors, columns)
        kernel = tf.constant(rng.normal(0, 1, (1, 1, 8, anchors * columns)), tf.float32)
        bias = tf.constant(rng.normal(0, 0.1, anchors * columns), tf.float32)
        return tf.reshape(tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "SAME"), bias), [1, -1, columns])

    levels = [(x, 1), (x[:, ::3, ::3], 2)]  # features, anchors per place
    corners = []
    for level, anchors in levels:
        places = level.shape[1]
        grid = np.stack(np.meshgrid(np.arange(places), np.arange(places), indexing="ij"), axis=-1) / places
        corners.append(np.repeat(grid.reshape(-1, 2), anchors, axis=0))
    shape = tf.nn.sigmoid(tf.concat([predict(*level, 4) for level in levels], axis=1))
    start = tf.constant(np.concatenate(corners)[np.newaxis], tf.float32) + 0.05 * shape[..., :2]
    boxes = tf.concat([start, start + 0.1 + 0.2 * shape[..., 2:]], axis=2)
    scores = tf.nn.sigmoid(tf.concat([predict(*level, 91) for level in levels], axis=1))
    return boxes, scores


def zoo_outputs(boxes, scores):
    """The zoo's outputs; scores (1, A, 90) without the background."""
    boxes, scores, classes, count = tf.image.combined_non_max_suppression(
        boxes[:, :, tf.newaxis], scores, 300, 20000, 0.6, 1e-8, clip_boxes=True
    )
    return {
        "detection_boxes": boxes,
        "detection_scores": scores,
        "detection_classes": classes + 1.0,
        "num_detections": tf.cast(count, tf.float32),
    }


def write_tf2_ssd(folder) -> None:
    """As an SSD that the TF2 zoo exports: with the boxes before the suppression, and scores with the background."""

    def detect(input_tensor):
        boxes, scores = ssd(input_tensor)
        return {**zoo_outputs(boxes, scores[..., 1:]), "raw_detection_boxes": boxes, "raw_detection_scores": scores}

    write_model(folder, detect, tf.TensorSpec([1, None, None, 3], tf.uint8, name="input_tensor"))


def write_tf1_ssd(folder) -> None:
    """As an SSD that the TF1 zoo exports: what comes before the suppression has names only."""

    def detect(images):
        boxes, scores = ssd(images)
        boxes = tf.expand_dims(boxes, 2, name="Postprocessor/ExpandDims_1")
        scores = tf.slice(scores, [0, 0, 1], [-1, -1, -1], name="Postprocessor/Slice")
        return zoo_outputs(boxes[:, :, 0], scores)

    write_tf1(folder, detect)


def write_model(folder, function, *specs) -> None:
    """A SavedModel of any function of tensors."""
    module = tf.Module()
    module.serve = tf.function(function, input_signature=list(specs))
    tf.saved_model.save(module, str(folder), signatures=module.serve)


def write_checkpoint(folder, size=(64, 32), embedding_size=32, seed=0):
    """An untrained re-id checkpoint whose BatchNorms are not the identity; returns (prefix, net)."""
    tf.keras.utils.set_random_seed(seed)
    net = build_embedding_net(size, 0.25, embedding_size)
    rng = np.random.default_rng(seed)
    for layer in net.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            shape = layer.get_weights()[0].shape
            ranges = [(0.5, 1.5), (-0.3, 0.3), (-0.3, 0.3), (0.5, 2.0)]  # gamma, beta, mean, variance
            layer.set_weights([rng.uniform(*some, shape) for some in ranges])
    folder.mkdir(parents=True, exist_ok=True)
    prefix = folder / "reid_model-1.ckpt"
    save_weights(net, prefix)
    (folder / "args.json").write_text(json.dumps({"image_size": list(size), "width": 0.25}))
    return str(prefix), net


def noise(size) -> np.ndarray:
    """(5, H, W, 3) uint8 noise, to freeze a re-id net with where the images need not show people."""
    return np.random.default_rng(1).integers(0, 256, (5, *size, 3), dtype=np.uint8)


def picture(people, size=(120, 240)) -> np.ndarray:
    """(H, W, 3) uint8 BGR, grey with a red rectangle for each (top, left, bottom, right) in pixels."""
    frame = np.full((*size, 3), 128, np.uint8)
    for top, left, bottom, right in people:
        frame[top:bottom, left:right] = (0, 0, 255)
    return frame
