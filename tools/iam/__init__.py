"""What AWS would answer to a request, worked out from policy documents: no account is asked.

`evaluate` is IAM's logic for one account, as far as `infra/mnist.yaml` uses it; `template` takes the documents out of
the template. What neither knows is an error, never a guess.
"""
