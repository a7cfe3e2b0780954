"""The generation service: one generator behind gRPC and a small web page, for people who hold its token.

Nothing of a request is kept: uploads are decoded in memory by a process without a disk, answers are sent and let go,
and the log holds the route, the status and the time of a call. Importing this package imports no torch.
"""
