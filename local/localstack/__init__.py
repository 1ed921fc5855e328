"""The second cloud: a LocalStack, with the project's own services in it.

`cloud` starts a LocalStack core on this machine, or finds the user's own. `__main__` is the process in between: it
starts the core, holds the services (the modules of `local.services`, as the embedded cloud does) and ends both.
`plugins` is what LocalStack loads of this project.
"""
