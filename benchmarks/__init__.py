"""`make bench` and `make seeds`: how fast training is, against what, and whether it is as good.

`contenders/` is what is compared, `container.py` the whole container against TensorFlow's tutorial, `seeds.py` is about
accuracy. Rounds are interleaved, everything is pinned to one CPU, what counts is CPU seconds, and a ratio is the
median of the rounds' own ratios: whatever else the machine does, it does to all contenders alike.
"""
