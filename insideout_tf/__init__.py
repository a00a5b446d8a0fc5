"""Facial emotion recognition on FER2013 with Keras 3: train, judge, serve."""

__version__ = "0.1.0"
