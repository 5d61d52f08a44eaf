"""A vendor made up for the test that adds one; this folder goes below `populator/storage/vendors`."""
