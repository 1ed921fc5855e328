"""Empties a bucket when its stack is deleted: the function behind a CloudFormation custom resource."""
