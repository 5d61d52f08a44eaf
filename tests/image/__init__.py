"""The image as a restricted pod runs it, under runc: `make test-image`. Needs root; not part of `make test`."""
