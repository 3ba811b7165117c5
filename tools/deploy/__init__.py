"""From this checkout to an AWS account: `make deploy`."""
