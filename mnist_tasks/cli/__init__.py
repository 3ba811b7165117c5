"""`mnist`: the pipeline for people at a terminal, and for their scripts.

`app` declares the commands; each asks one module for data and another function for how it looks. Everything is read
from S3, where the steps left it; what changes the champion goes through Airflow and its DAG. Nothing here is imported
by the steps.
"""
