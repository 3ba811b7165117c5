"""Classifiers that show how one is made of this template."""
