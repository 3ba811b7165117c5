"""What `make` calls: environments, the run on a laptop, its services. Development only; images do not hold it."""
