"""TensorFlow's tutorial (https://www.tensorflow.org/tutorials/quickstart/beginner) as a script that does equal work.

It trains 10 epochs, as the specification says and ours does, where the tutorial has 5. Besides, the data comes from a
local file instead of the network, the last layer has its softmax, and the weights are saved at the end.

    python benchmarks/tutorial.py MNIST.npz WEIGHTS.weights.h5
"""

import sys

import numpy as np
import tensorflow as tf

with np.load(sys.argv[1]) as data:
    x_train, y_train = data["x_train"], data["y_train"]
    x_test, y_test = data["x_test"], data["y_test"]
x_train, x_test = x_train / 255.0, x_test / 255.0

model = tf.keras.models.Sequential(
    [
        tf.keras.layers.Input(shape=(28, 28)),
        tf.keras.layers.Flatten(),
        tf.keras.layers.Dense(128, activation="relu"),
        tf.keras.layers.Dropout(0.2),
        tf.keras.layers.Dense(10, activation="softmax"),
    ]
)
model.compile(optimizer="adam", loss=tf.keras.losses.SparseCategoricalCrossentropy(), metrics=["accuracy"])

model.fit(x_train, y_train, epochs=10)
model.evaluate(x_test, y_test, verbose=2)
model.save_weights(sys.argv[2])
