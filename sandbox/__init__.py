"""A sandbox account on AWS: what would be made there and what it costs, deployment, scenario, removal, leftovers.

`python -m sandbox` works on the account of the shell's credentials, and on nothing of the local cloud. Only here and in
the CDK command line does the project talk to AWS.
"""
